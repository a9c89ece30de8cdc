"""Reading the log for its page and its file. Nothing here commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from campaigns.audit.models import AuditEntry, AuditHead
from campaigns.extensions import db

PAGE_SIZE: Final = 50
READ_AT_ONCE: Final = 1_000
# Ids follow the time but for what was written at the same moment; so far around a day's first id its entries can lie.
ID_SLACK: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What to show; empty means all. `since` and `until` are moments, the latter not included."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    target_id: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class EntryPage:
    """One page, the newest first; `newer` and `older` are the ids to go on from, None at the ends."""

    entries: Sequence[AuditEntry]
    newer: int | None
    older: int | None


def entry_page(filters: Filters, *, before: int | None = None, after: int | None = None) -> EntryPage:
    """Return the newest entries, those older than the id `before`, or those just newer than `after`."""
    query = select(AuditEntry).where(*_conditions(filters)).limit(PAGE_SIZE + 1)
    if after is not None:
        rows = list(db.session.scalars(query.where(AuditEntry.id > after).order_by(AuditEntry.id)))
        shown = rows[:PAGE_SIZE][::-1]
        return EntryPage(shown, shown[0].id if len(rows) > PAGE_SIZE else None, shown[-1].id if shown else None)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    rows = list(db.session.scalars(query.order_by(AuditEntry.id.desc())))
    shown = rows[:PAGE_SIZE]
    newer = shown[0].id if shown and before is not None else None
    return EntryPage(shown, newer, shown[-1].id if len(rows) > PAGE_SIZE else None)


def count_entries(filters: Filters) -> int:
    """Return how many entries there are; reads them all, so for files only."""
    return db.session.scalar(select(func.count()).select_from(AuditEntry).where(*_conditions(filters))) or 0


def read_entries(filters: Filters, *, through: int) -> Iterator[AuditEntry]:
    """Yield entries up to the id `through`, the oldest first, a thousand at a time."""
    after, conditions = 0, _conditions(filters)
    while True:
        query = select(AuditEntry).where(*conditions, AuditEntry.id > after, AuditEntry.id <= through)
        rows = db.session.scalars(query.order_by(AuditEntry.id).limit(READ_AT_ONCE)).all()
        yield from rows
        if len(rows) < READ_AT_ONCE:
            return
        after = rows[-1].id
        db.session.expunge_all()


def entries_about(kind: str, target_id: int | str, actions: Collection[str]) -> Sequence[AuditEntry]:
    """Return what was done to one object by these deeds, the oldest first."""
    about = AuditEntry.target_kind == kind, AuditEntry.target_id == str(target_id), AuditEntry.action.in_(actions)
    return db.session.scalars(select(AuditEntry).where(*about).order_by(AuditEntry.id)).all()


def last_id() -> int:
    """Return the id of the newest entry; 0 when there is none."""
    return db.session.scalar(select(func.max(AuditEntry.id))) or 0


def find_head() -> Any:
    """Return the row that says how far the chain goes and what the last check found, or None."""
    return db.session.execute(select(AuditHead.__table__)).one_or_none()


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = []
    if filters.actor:
        chosen.append(AuditEntry.actor.in_({filters.actor, filters.actor.lower()}))
    if filters.action:
        chosen.append(AuditEntry.action == filters.action)
    if filters.kind:
        chosen.append(AuditEntry.target_kind == filters.kind)
    if filters.target_id:
        chosen.append(AuditEntry.target_id == filters.target_id)
    if filters.since:
        chosen += [AuditEntry.at >= filters.since, AuditEntry.id >= _first_id(filters.since) - ID_SLACK]
    if filters.until:
        chosen += [AuditEntry.at < filters.until, AuditEntry.id <= _first_id(filters.until) + ID_SLACK]
    return chosen


def _first_id(at: datetime) -> int:
    """Return the id of the first entry from then on, so that a stretch of time is a stretch of the primary key."""
    first = select(AuditEntry.id).where(AuditEntry.at >= at).order_by(AuditEntry.at).limit(1)
    found = db.session.scalar(first)
    return last_id() + 1 if found is None else found
