"""Importing a file of this machine in one go, for the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from campaigns.audience.import_problems import FileProblem, RowProblem
from campaigns.audience.import_words import explain_file, explain_row
from campaigns.audience.imports import add_import, check_import, get_import, report_import, save_import
from campaigns.audience.models import ImportProblem, ImportState, UserImport
from campaigns.errors import UserError
from campaigns.extensions import db

Progress = Callable[[int, int], None]  # rows done, rows in all

MOST_LISTED: Final = 10_000  # so that a file of a million mistakes does not fill the memory; the page has them all


@dataclass(frozen=True)
class ImportSummary:
    """What came of a file; `problems` are the rows not taken: number in the file, what stood there, why."""

    import_id: int
    rows: int
    added: int
    updated: int
    unchanged: int
    bad: int
    unconfirmed: int
    problems: list[tuple[int, str, str]]

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON writes."""
        problems = [{"row": row, "value": value, "reason": reason} for row, value, reason in self.problems]
        numbers = ("rows", "added", "updated", "unchanged", "bad", "unconfirmed")
        return {"id": self.import_id, **{name: getattr(self, name) for name in numbers}, "problems": problems}


def import_csv(path: Path, *, on_progress: Progress | None = None) -> ImportSummary:
    """Import a file and return what came of it; commits every few thousand rows, and running it again is harmless.

    `on_progress` is called about once a second with the rows done and the rows in all. Raises UserError for a file
    that cannot be imported.
    """
    import_id = add_import(path.absolute(), file_name=path.name)
    check_import(import_id)
    while not save_import(import_id, budget_seconds=1):
        if on_progress:
            done = get_import(import_id)
            on_progress(done.rows_done, done.rows_total)
    report_import(import_id)
    each = get_import(import_id)
    if each.state == ImportState.FAILED:
        raise UserError(explain_file(FileProblem(each.error), each.error_detail))
    return summarise(each)


def summarise(each: UserImport) -> ImportSummary:
    """Return the numbers of an import and the first of its problems."""
    return ImportSummary(
        import_id=each.id,
        rows=each.rows_done,
        added=each.added,
        updated=each.updated,
        unchanged=each.unchanged,
        bad=each.bad,
        unconfirmed=_count_unconfirmed(each.id),
        problems=_first_problems(each.id),
    )


def _count_unconfirmed(import_id: int) -> int:
    unconfirmed = ImportProblem.reason == RowProblem.UNCONFIRMED
    query = select(func.count()).select_from(ImportProblem).where(ImportProblem.import_id == import_id, unconfirmed)
    return db.session.execute(query).scalar_one()


def _first_problems(import_id: int) -> list[tuple[int, str, str]]:
    query = (
        select(ImportProblem.row_number, ImportProblem.value, ImportProblem.reason)
        .where(ImportProblem.import_id == import_id, ImportProblem.is_note.is_(False))
        .order_by(ImportProblem.row_number)
        .limit(MOST_LISTED)
    )
    return [(row, value, explain_row(RowProblem(reason))) for row, value, reason in db.session.execute(query)]
