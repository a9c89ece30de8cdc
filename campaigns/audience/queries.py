"""Questions about people who receive: what they are to announcements, how many, and what merge fields know of them.

Nothing here commits. The list of people, with its search and its pages, is in `people_list.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, case, func, select

from campaigns.accounts.models import User
from campaigns.audience.fields import field_names
from campaigns.audience.models import Suppression
from campaigns.database import LARGEST_ID
from campaigns.errors import NotFound
from campaigns.extensions import db


class UserState(StrEnum):
    """Whether a person gets announcements, and if not, the strongest reason why; the freeze judges the same way."""

    ACTIVE = "active"
    UNVERIFIED = "unverified"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True)
class UserCounts:
    """How many people there are in each state; the four states add up to all."""

    all: int
    active: int
    unverified: int
    unsubscribed: int
    suppressed: int


def get_user(user_id: int) -> User:
    """Return a person. Raises NotFound."""
    user = db.session.get(User, user_id) if user_id <= LARGEST_ID else None
    if user is None:
        raise NotFound(_("There is no such user. They may have been deleted."))
    return user


def find_suppression(address_key: str) -> Suppression | None:
    """Return why this address gets nothing, None when it may."""
    return db.session.get(Suppression, address_key)


def state_of(user: User, suppression: Suppression | None) -> UserState:
    """Return the state of one person."""
    if suppression is not None:
        return UserState.SUPPRESSED
    if user.unsubscribed_at is not None:
        return UserState.UNSUBSCRIBED
    return UserState.ACTIVE if user.verified_at is not None else UserState.UNVERIFIED


def count_receivers() -> int:
    """Return how many people would get an announcement now."""
    return count_users().active


def merge_field_names() -> list[str]:
    """Return the names of the attributes that people may have, for merge fields; reads one small table.

    Imports and services note the names there (`remember_fields`) before they save a person who has them.
    """
    return field_names()


def sample_users(limit: int) -> Sequence[User]:
    """Return up to `limit` people who would get an announcement, the newest first; walks the primary key."""
    query = select(User).where(in_state(UserState.ACTIVE)).order_by(User.id.desc()).limit(limit)
    return db.session.scalars(query).all()


def count_users() -> UserCounts:
    """Count the people in each state.

    Those who get nothing are usually few and each kind has an index of its own; those who receive are the rest, so
    that nothing but the index of the primary key is read in full.
    """
    everybody = _count()
    suppressed, of_unsubscribed, of_unverified = _count_suppressed()
    unsubscribed = _count(User.unsubscribed_at.is_not(None)) - of_unsubscribed
    unverified = _count(*_UNVERIFIED) - of_unverified
    return UserCounts(
        all=everybody,
        active=everybody - suppressed - unsubscribed - unverified,
        unverified=unverified,
        unsubscribed=unsubscribed,
        suppressed=suppressed,
    )


def only_staff_is_here() -> bool:
    """Tell whether nobody is here but those who run the site, so that announcements would reach no one else."""
    return db.session.scalar(select(User.id).where(User.role.is_(None)).limit(1)) is None


def in_state(state: UserState) -> ColumnElement[bool]:
    """Return the condition of one state; the states shut each other out."""
    if state is UserState.SUPPRESSED:
        return is_suppressed()
    if state is UserState.UNSUBSCRIBED:
        return and_(User.unsubscribed_at.is_not(None), ~is_suppressed())
    if state is UserState.UNVERIFIED:
        return and_(*_UNVERIFIED, ~is_suppressed())
    return and_(User.verified_at.is_not(None), User.unsubscribed_at.is_(None), ~is_suppressed())


def is_suppressed() -> ColumnElement[bool]:
    """Return the condition that the person's address is on the suppression list."""
    return select(Suppression.address_key).where(_SAME_ADDRESS).correlate(User).exists()


_UNVERIFIED: Final = (User.verified_at.is_(None), User.unsubscribed_at.is_(None))
_SAME_ADDRESS: Final = Suppression.address_key == User.address_key


def _count(*conditions: ColumnElement[bool]) -> int:
    return db.session.execute(select(func.count()).select_from(User).where(*conditions)).scalar_one()


def _count_suppressed() -> tuple[int, int, int]:
    """Return (all, unsubscribed, not verified) of the people whose address is suppressed.

    The outer join makes SQLite begin with the suppressions, which are fewer than the people.
    """
    unsubscribed = case((User.unsubscribed_at.is_not(None), 1))
    unverified = case((and_(User.id.is_not(None), *_UNVERIFIED), 1))
    query = select(func.count(User.id), func.count(unsubscribed), func.count(unverified)).select_from(Suppression)
    suppressed, of_unsubscribed, of_unverified = db.session.execute(query.outerjoin(User, _SAME_ADDRESS)).one()
    return suppressed, of_unsubscribed, of_unverified
