"""What the pages of imports show. Nothing here commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from campaigns.accounts.models import User
from campaigns.audience.import_problems import RowProblem
from campaigns.audience.models import ImportProblem, UserImport
from campaigns.extensions import db

PAGE_SIZE: Final = 50
MOST_SHOWN: Final = 200
READ_AT_ONCE: Final = 1_000


@dataclass(frozen=True)
class ImportPage:
    """One page of imports, the newest first; `older` is the id to go on from, None on the last page."""

    imports: Sequence[UserImport]
    older: int | None


def import_page(*, before: int | None) -> ImportPage:
    """Return the imports older than the id `before`, or the newest ones; walks the primary key."""
    query = select(UserImport).order_by(UserImport.id.desc()).limit(PAGE_SIZE + 1)
    if before is not None:
        query = query.where(UserImport.id < before)
    found = db.session.execute(query).scalars().all()
    return ImportPage(found[:PAGE_SIZE], found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None)


def first_problems(import_id: int, *, notes: bool) -> Sequence[ImportProblem]:
    """Return the first rows that were not taken, or, as `notes`, those taken with a remark; by the primary key."""
    query = (
        select(ImportProblem)
        .where(ImportProblem.import_id == import_id, ImportProblem.is_note.is_(notes))
        .order_by(ImportProblem.row_number)
        .limit(MOST_SHOWN)
    )
    return db.session.execute(query).scalars().all()


def count_problems(import_id: int) -> dict[RowProblem, int]:
    """Return how many rows have each problem; reads all of the import's, so not for what is polled."""
    query = (
        select(ImportProblem.reason, func.count())
        .where(ImportProblem.import_id == import_id)
        .group_by(ImportProblem.reason)
    )
    return {RowProblem(reason): count for reason, count in db.session.execute(query)}


def read_problems(import_id: int) -> Iterator[ImportProblem]:
    """Yield every row with a problem or a remark in the order of the file, a thousand at a time."""
    after = 0
    while True:
        query = (
            select(ImportProblem)
            .where(ImportProblem.import_id == import_id, ImportProblem.row_number > after)
            .order_by(ImportProblem.row_number)
            .limit(READ_AT_ONCE)
        )
        rows = db.session.execute(query).scalars().all()
        yield from rows
        if len(rows) < READ_AT_ONCE:
            return
        after = rows[-1].row_number
        db.session.expunge_all()


def who_imported(each: UserImport) -> User | None:
    """Return the person who uploaded the file; None for the command line, and for people who are gone."""
    return db.session.get(User, each.created_by_id) if each.created_by_id else None
