"""The list of people: by state, by search, page by page. Reads only.

Pages are found by key, so the thousandth costs what the first does. What each question costs at a million people:

- everybody, and those who receive: the primary key is walked from where the page begins.
- unsubscribed, not verified: indexes that hold nobody else (`ix_users_unsubscribed`, `ix_users_unverified`).
- suppressed: the suppression list is looked up in the index of addresses.
- what begins like the search: the indexes of addresses and of names.
- what stands in the middle: everybody is read. So in a large site it is asked only when nothing begins like the
  search, or when the person asks for it. An index of trigrams would do better, but neither database always has one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Select, func, or_, select, union

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.audience.queries import UserState, in_state, state_of
from campaigns.database import LARGEST_ID
from campaigns.extensions import db

PAGE_SIZE: Final = 50
LONGEST_SEARCH: Final = 254
READ_IN_FULL: Final = 200_000  # up to so many people, looking everywhere takes less than a tenth of a second
AFTER_EVERY_CHARACTER: Final = "\U0010ffff"


@dataclass(frozen=True)
class UserRow:
    """One line of the list."""

    user: User
    state: UserState
    suppression: Suppression | None


@dataclass(frozen=True)
class UserPage:
    """One page of people, the newest first.

    `older` and `newer` are the ids to go on from, None where there is nothing more. `everywhere` tells whether the
    search looked in the middle of names and addresses too, or only at how they begin.
    """

    rows: Sequence[UserRow]
    older: int | None
    newer: int | None
    everywhere: bool


@dataclass(frozen=True)
class Search:
    """What is looked for. Without `sees_addresses` an address is found only by its whole text, never by a part.

    Whoever sees addresses masked could otherwise spell one out, character by character.
    """

    text: str = ""
    everywhere: bool = False
    sees_addresses: bool = True

    @property
    def cleaned(self) -> str:
        """The text as it is compared: composed characters, single blanks, nothing that cannot be shown."""
        composed = unicodedata.normalize("NFC", self.text[:LONGEST_SEARCH])
        shown = "".join(character if character.isprintable() else " " for character in composed)
        return " ".join(shown.split())


def list_users(
    state: UserState | None = None,
    search: Search | None = None,
    *,
    before: int | None = None,
    after: int | None = None,
) -> UserPage:
    """Return up to PAGE_SIZE people of a state (None: all) who match the search; `before` and `after` are ids."""
    search = search or Search()
    conditions = [in_state(state)] if state else []
    if not search.cleaned:
        return _page(conditions, before=before, after=after, everywhere=True)
    if search.everywhere or _is_small():
        return _page([*conditions, _contains(search)], before=before, after=after, everywhere=True)
    beginning = _page([*conditions, _begins(search)], before=before, after=after, everywhere=False)
    if beginning.rows or before is not None or after is not None:
        return beginning
    return _page([*conditions, _contains(search)], before=None, after=None, everywhere=True)


def _page(
    conditions: Sequence[ColumnElement[bool]], *, before: int | None, after: int | None, everywhere: bool
) -> UserPage:
    query = select(User, Suppression).outerjoin(Suppression, Suppression.address_key == User.address_key)
    query = query.where(*conditions)
    if after is not None:
        found = _read(query.where(User.id > min(after, LARGEST_ID)).order_by(User.id))
        rows = found[:PAGE_SIZE][::-1]
        newer = rows[0].user.id if len(found) > PAGE_SIZE else None
        return UserPage(rows, rows[-1].user.id if rows else None, newer, everywhere)
    if before is not None:
        query = query.where(User.id < min(before, LARGEST_ID))
    found = _read(query.order_by(User.id.desc()))
    rows = found[:PAGE_SIZE]
    older = rows[-1].user.id if len(found) > PAGE_SIZE else None
    return UserPage(rows, older, rows[0].user.id if rows and before is not None else None, everywhere)


def _read(query: Select[User, Suppression]) -> list[UserRow]:
    found = db.session.execute(query.limit(PAGE_SIZE + 1))
    return [UserRow(user, state_of(user, suppression), suppression) for user, suppression in found]


def _begins(search: Search) -> ColumnElement[bool]:
    """Ids from each index by itself: a condition with OR would make SQLite walk everybody in the order of ids."""
    names = (select(User.id).where(_name_begins(text)) for text in _spellings(search.cleaned))
    return User.id.in_(union(select(User.id).where(_address(search, begins=True)), *names))


def _contains(search: Search) -> ColumnElement[bool]:
    return or_(_address(search, begins=False), User.name.icontains(search.cleaned, autoescape=True))


def _address(search: Search, *, begins: bool) -> ColumnElement[bool]:
    key = search.cleaned.lower()
    if not search.sees_addresses:
        return User.address_key == key
    if begins:
        return (User.address_key >= key) & (User.address_key <= _end(key))
    return User.address_key.contains(key, autoescape=True)


def _spellings(text: str) -> list[str]:
    """Return how a name that begins so may be written: the index of names tells capitals apart."""
    return sorted({text, text.lower(), text.upper(), text.title()})


def _name_begins(text: str) -> ColumnElement[bool]:
    """Return the condition that a name begins with the text, as a range that `ix_users_name` answers.

    PostgreSQL compares byte by byte with operators of their own, whatever the database's collation.
    """
    if db.engine.dialect.name == "postgresql":
        return User.name.op("~>=~", is_comparison=True)(text) & User.name.op("~<=~", is_comparison=True)(_end(text))
    return (User.name >= text) & (User.name <= _end(text))


def _end(text: str) -> str:
    return text + AFTER_EVERY_CHARACTER


def _is_small() -> bool:
    """Tell whether everybody can be read for a search; ids are given out in turn, so the range says enough."""
    # Each end by itself: asked for both at once, SQLite reads the whole index.
    first, last = (db.session.scalar(select(end(User.id))) for end in (func.min, func.max))
    return first is None or last is None or last - first < READ_IN_FULL
