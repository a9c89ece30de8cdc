"""Saving some rows at once: one look at who is known, one statement for all who are new or changed.

An import never touches a password or a role, and gives nothing back to whoever unsubscribed or is suppressed. It
vouches for new people, but not for somebody who signed up with a password and has not confirmed: else whoever typed in
an address that is not theirs could log in with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    String,
    Table,
    Text,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from campaigns.accounts.models import User
from campaigns.audience.import_problems import RowProblem
from campaigns.audience.import_rows import Chunk, Person, Remark
from campaigns.audience.models import ImportProblem, ImportState, Suppression, UserImport
from campaigns.clock import utcnow
from campaigns.extensions import db

_USERS: Final[Table] = User.__table__
_COLUMNS: Final = (
    "email", "address_key", "name", "language", "attributes", "created_at", "updated_at", "verified_at",
)  # fmt: skip
NOTES: Final = (RowProblem.SUPPRESSED, RowProblem.UNSUBSCRIBED, RowProblem.UNCONFIRMED, RowProblem.LANGUAGE)


@dataclass(slots=True)
class Known:
    """A person as the database holds them, or is about to."""

    name: str
    language: str | None
    attributes: dict[str, str]
    is_verified: bool
    may_be_verified: bool  # by an import: nobody's password hangs on it
    is_unsubscribed: bool


@dataclass(slots=True)
class Counts:
    """What came of some rows."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0


def save_chunk(import_id: int, chunk: Chunk, *, begun_at_byte: int) -> bool:
    """Save the rows of a chunk, its problems, and how far the import has come; commits.

    Tells whether this caller was the one: when somebody else has saved from this byte on, nothing is changed.
    """
    if not _claim(import_id, chunk, begun_at_byte):
        db.session.rollback()
        return False
    now = utcnow()
    known = _find_known([person.key for person in chunk.people])
    suppressed = _find_suppressed(list(known) + [person.key for person in chunk.people if person.key not in known])
    counts, notes, changed = _sort_out(chunk, known, suppressed)
    _upsert(changed, now)
    _write_problems(import_id, chunk.refused, notes)
    _count(import_id, counts, bad=len(chunk.refused), noted=len(notes))
    db.session.commit()
    return True


def _claim(import_id: int, chunk: Chunk, begun_at_byte: int) -> bool:
    """Move the place to go on from; on SQLite this also takes the lock, so that what is read next stays true."""
    mine = (
        UserImport.id == import_id,
        UserImport.state == ImportState.SAVING,
        UserImport.bytes_done == begun_at_byte,
    )
    place = {"bytes_done": chunk.offset, "last_row": chunk.last_row, "touched_at": utcnow(), "tries": 0}
    statement = update(UserImport).where(*mine).values(place).execution_options(synchronize_session=False)
    return bool(db.session.execute(statement).rowcount)  # type: ignore[attr-defined]


def _find_known(keys: list[str]) -> dict[str, Known]:
    columns = (
        User.address_key,
        User.name,
        User.language,
        User.attributes,
        User.verified_at.is_not(None).label("is_verified"),
        (User.password_hash.is_(None) & User.role.is_(None)).label("may_be_verified"),
        User.unsubscribed_at.is_not(None).label("is_unsubscribed"),
    )
    rows = db.session.execute(select(*columns).where(_is_among(User.address_key, keys)))
    return {row.address_key: _known(row) for row in rows}


def _known(row: Any) -> Known:
    return Known(
        name=row.name,
        language=row.language,
        attributes=row.attributes or {},
        is_verified=row.is_verified,
        may_be_verified=row.may_be_verified,
        is_unsubscribed=row.is_unsubscribed,
    )


def _find_suppressed(keys: list[str]) -> set[str]:
    query = select(Suppression.address_key).where(_is_among(Suppression.address_key, keys))
    return set(db.session.execute(query).scalars())


def _is_among(column: Any, keys: list[str]) -> ColumnElement[bool]:
    """`IN` as one parameter instead of thousands."""
    if _is_postgresql():
        return column == any_(bindparam(None, keys, type_=ARRAY(String), unique=True))  # type: ignore[no-any-return]
    listed = func.json_each(bindparam(None, json.dumps(keys), type_=Text, unique=True)).table_valued("value")
    return column.in_(select(listed.c.value))  # type: ignore[no-any-return]


def _is_postgresql() -> bool:
    return db.engine.dialect.name == "postgresql"


def _sort_out(
    chunk: Chunk, known: dict[str, Known], suppressed: set[str]
) -> tuple[Counts, list[Remark], dict[str, Person]]:
    """Return the counts, what is to be remarked of rows that were taken, and what must be written, by key.

    Rows count one after the other, so that a row that comes twice is new once and unchanged once.
    """
    counts = Counts()
    notes = {remark.row: remark for remark in chunk.remarks}
    changed: dict[str, Person] = {}
    for person in chunk.people:
        before = known.get(person.key)
        if before is None:
            counts.added += 1
            known[person.key] = Known(person.name, person.language, dict(person.attributes), True, True, False)
            changed[person.key] = person
        elif _take_over(before, person):
            counts.updated += 1
            changed[person.key] = _joined(changed.get(person.key), person)
        else:
            counts.unchanged += 1
        if problem := _reservation(known[person.key], person.key in suppressed):
            notes[person.row] = Remark(person.row, problem, person.email)
    refused = {remark.row for remark in chunk.refused}
    return counts, [note for row, note in notes.items() if row not in refused], changed


def _take_over(known: Known, person: Person) -> bool:
    """Write what a row says into what is known; tell whether that changed anything."""
    is_changed = False
    if person.name and person.name != known.name:
        known.name, is_changed = person.name, True
    if person.language and person.language != known.language:
        known.language, is_changed = person.language, True
    if any(known.attributes.get(key) != value for key, value in person.attributes.items()):
        known.attributes, is_changed = {**known.attributes, **person.attributes}, True
    if not known.is_verified and known.may_be_verified:
        known.is_verified, is_changed = True, True
    return is_changed


def _joined(first: Person | None, then: Person) -> Person:
    """Return two rows about one person as one."""
    if first is None:
        return then
    attributes = {**first.attributes, **then.attributes}
    return Person(
        then.row, first.email, first.key, then.name or first.name, then.language or first.language, attributes
    )


def _reservation(known: Known, is_suppressed: bool) -> RowProblem | None:
    """Return why a person still gets nothing, the strongest reason first."""
    if is_suppressed:
        return RowProblem.SUPPRESSED
    if known.is_unsubscribed:
        return RowProblem.UNSUBSCRIBED
    return None if known.is_verified else RowProblem.UNCONFIRMED


def _upsert(people: dict[str, Person], now: datetime) -> None:
    """Add or change people, in the order of their keys, so that two imports at once cannot lock each other out."""
    if not people:
        return
    # All rows travel as one JSON text: ten times cheaper than as many parameters.
    rows = [[each.email, key, each.name, each.language, each.attributes] for key, each in sorted(people.items())]
    statement = _postgresql_upsert() if _is_postgresql() else _sqlite_upsert()
    db.session.execute(statement, {"rows": json.dumps(rows, ensure_ascii=False), "now": now})


def _postgresql_upsert() -> Any:
    row = func.jsonb_array_elements(cast(bindparam("rows", type_=Text), JSONB)).table_valued(column("value", JSONB))
    cells = [row.c.value.op("->>")(index) for index in range(4)]
    values = select(*cells, row.c.value.op("->")(4), *_three_times_now())
    insert_rows = postgresql.insert(_USERS).from_select(_COLUMNS, values)
    return _with_conflicts(insert_rows, _USERS.c.attributes.op("||")(insert_rows.excluded.attributes))


def _sqlite_upsert() -> Any:
    row = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    # Not ->>, which SQLite 3.37 of Ubuntu 22.04 lacks. It would take ON for a join if there were no WHERE before it.
    cells = [func.json_extract(row.c.value, f"$[{index}]") for index in range(5)]
    values = select(*cells, *_three_times_now()).where(true())
    insert_rows = sqlite.insert(_USERS).from_select(_COLUMNS, values)
    return _with_conflicts(insert_rows, func.json_patch(_USERS.c.attributes, insert_rows.excluded.attributes))


def _three_times_now() -> list[Any]:
    return [bindparam("now", type_=_USERS.c.created_at.type)] * 3


def _with_conflicts(insert_rows: Any, attributes: Any) -> Any:
    """Say what is changed of somebody who is known; right whoever else adds the same person at the same moment."""
    new = insert_rows.excluded
    nobodys = _USERS.c.password_hash.is_(None) & _USERS.c.role.is_(None)
    changes = {
        "name": case((new.name != "", new.name), else_=_USERS.c.name),
        "language": func.coalesce(new.language, _USERS.c.language),
        "attributes": type_coerce(attributes, _USERS.c.attributes.type),
        "verified_at": case(
            (nobodys, func.coalesce(_USERS.c.verified_at, new.verified_at)), else_=_USERS.c.verified_at
        ),
        "updated_at": new.updated_at,
    }
    return insert_rows.on_conflict_do_update(index_elements=["address_key"], set_=changes)


def _write_problems(import_id: int, refused: list[Remark], notes: list[Remark]) -> None:
    rows = [
        {
            "import_id": import_id,
            "row_number": remark.row,
            "reason": remark.problem,
            "is_note": remark.problem in NOTES,
            "value": remark.value,
        }
        for remark in (*refused, *notes)
    ]
    if rows:
        db.session.execute(insert(ImportProblem), rows)


def _count(import_id: int, counts: Counts, *, bad: int, noted: int) -> None:
    taken = counts.added + counts.updated + counts.unchanged
    more = {
        "rows_done": UserImport.rows_done + taken + bad,
        "added": UserImport.added + counts.added,
        "updated": UserImport.updated + counts.updated,
        "unchanged": UserImport.unchanged + counts.unchanged,
        "bad": UserImport.bad + bad,
        "noted": UserImport.noted + noted,
    }
    statement = update(UserImport).where(UserImport.id == import_id).values(more)
    db.session.execute(statement.execution_options(synchronize_session=False))
