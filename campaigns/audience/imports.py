"""Imports, step by step: take a file, check it, save its rows, close. Every step may be run again, and by two at once.

WAITING → CHECKING → SAVING → DONE, or FAILED. What a step needs stands in the row and in the file, so that a crash
costs at most one chunk of work: the next run goes on at the byte where the last commit ended.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import or_, select, update

from campaigns.audience.csv_files import RecordReader, copy_as_utf8, count_rows, find_layout
from campaigns.audience.fields import remember_fields
from campaigns.audience.import_columns import Layout
from campaigns.audience.import_problems import FileProblem, FileRefused
from campaigns.audience.import_rows import read_chunk
from campaigns.audience.import_saving import save_chunk
from campaigns.audience.models import ImportState, UserImport
from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.errors import NotFound
from campaigns.extensions import db

ROWS_AT_ONCE: Final = 2_000
MOST_TRIES: Final = 5  # starts without getting on; then something about the file ends the process
LEFT_ALONE: Final = timedelta(seconds=120)
ORPHAN_AGE: Final = timedelta(days=1)
_COPY_BYTES: Final = 1_048_576


def take_upload(stream: IO[bytes], file_name: str, *, by: int | None) -> int:
    """Keep an uploaded file and return the id of its import, which waits to be checked. Commits."""
    path = _new_file()
    with path.open("wb") as file:
        while part := stream.read(_COPY_BYTES):
            file.write(part)
    return add_import(path, file_name=file_name, by=by)


def add_import(source: Path, *, file_name: str, by: int | None = None) -> int:
    """Add an import of a file of this machine and return its id. Commits."""
    shown_name = "".join(character for character in file_name if character.isprintable())[-200:]
    each = UserImport(file_name=shown_name, source_path=str(source), created_by_id=by)
    db.session.add(each)
    db.session.flush()
    record_action("import.started", Target("import", each.id, shown_name))
    db.session.commit()
    return each.id


def get_import(import_id: int) -> UserImport:
    """Return an import as the database has it now. Raises NotFound."""
    each = db.session.get(UserImport, import_id, populate_existing=True)
    if each is None:
        raise NotFound("")
    return each


def check_import(import_id: int) -> None:
    """Make the copy in UTF-8, find out what the columns mean and count the rows. Commits.

    A file that cannot be imported ends the import, with the reason in its row. Harmless to repeat.
    """
    if not _start(import_id, ImportState.WAITING, ImportState.CHECKING):
        return
    each = get_import(import_id)
    source, copy = Path(each.source_path), _new_file()
    try:
        encoding = copy_as_utf8(source, copy)
        layout = find_layout(copy)
        rows = count_rows(copy, layout.delimiter) - (1 if layout.names_row else 0)
        if rows < 1:
            raise FileRefused(FileProblem.NO_ROWS)
    except FileNotFoundError:
        _fail(import_id, ImportState.CHECKING, FileRefused(FileProblem.GONE))
    except FileRefused as refused:
        _fail(import_id, ImportState.CHECKING, refused)
    else:
        remember_fields([name for _, name in layout.attributes])
        found = {
            "stored_path": str(copy),
            "encoding": encoding,
            "layout": layout.as_dict(),
            "rows_total": rows,
            "bytes_total": copy.stat().st_size,
            "tries": 0,
        }
        if _move_on(import_id, ImportState.CHECKING, ImportState.SAVING, **found):
            _remove_upload(source)
            return
    copy.unlink(missing_ok=True)


def save_import(import_id: int, *, budget_seconds: float) -> bool:
    """Save rows for at most about `budget_seconds`; tell whether nothing is left to do here. Commits every few
    thousand rows.

    Harmless to repeat, and of two at once only one saves each row.
    """
    if not _start(import_id, ImportState.SAVING, ImportState.SAVING):
        return True
    each = get_import(import_id)
    deadline = time.monotonic() + budget_seconds
    layout = Layout.from_dict(each.layout or {})
    try:
        file = Path(each.stored_path).open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        _fail(import_id, ImportState.SAVING, FileRefused(FileProblem.GONE))
        return True
    with file:
        reader = RecordReader(file, layout.delimiter, offset=each.bytes_done, number=each.last_row)
        while True:
            begun_at_byte = reader.offset
            chunk = read_chunk(reader, layout, ROWS_AT_ONCE)
            if chunk.offset == begun_at_byte or not save_chunk(import_id, chunk, begun_at_byte=begun_at_byte):
                return True
            if time.monotonic() > deadline:
                return False


def report_import(import_id: int) -> None:
    """Close an import whose rows are all saved: the numbers are final, the file goes. Commits; harmless to repeat."""
    each = get_import(import_id)
    if each.state != ImportState.SAVING or each.bytes_done < each.bytes_total:
        return
    files = Path(each.stored_path), Path(each.source_path)
    if _move_on(import_id, ImportState.SAVING, ImportState.DONE, finished_at=utcnow()):
        files[0].unlink(missing_ok=True)
        _remove_upload(files[1])


def find_left_alone() -> list[int]:
    """Return the imports that nobody has touched for a while, and touch them, so that one caller gets each. Commits."""
    now = utcnow()
    running = UserImport.state.in_([ImportState.WAITING, ImportState.CHECKING, ImportState.SAVING])
    old = select(UserImport.id, UserImport.touched_at).where(running, UserImport.touched_at < now - LEFT_ALONE)
    mine = []
    for import_id, touched_at in db.session.execute(old).all():
        touch = update(UserImport).where(UserImport.id == import_id, UserImport.touched_at == touched_at)
        if _execute(touch.values(touched_at=now)):
            mine.append(import_id)
    db.session.commit()
    return mine


def remove_orphans() -> int:
    """Remove files that a crash left behind, a day old at least; return how many."""
    known = select(UserImport.source_path, UserImport.stored_path).where(UserImport.finished_at.is_(None))
    wanted = {path for row in db.session.execute(known) for path in row}
    before = utcnow().timestamp() - ORPHAN_AGE.total_seconds()
    orphans = [p for p in import_folder().iterdir() if str(p) not in wanted and p.stat().st_mtime < before]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)


def import_folder() -> Path:
    """Return the folder of uploads and copies, made if need be; only we may read it."""
    folder = current_settings().instance_dir / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _new_file() -> Path:
    path = import_folder() / f"{secrets.token_hex(16)}.csv"
    path.touch(mode=0o600, exist_ok=False)
    return path


def _remove_upload(source: Path) -> None:
    """A file named on the command line is the operator's own; it stays."""
    if source.parent == import_folder():
        source.unlink(missing_ok=True)


def _start(import_id: int, before: ImportState, state: ImportState) -> bool:
    """Note that a step begins; tell whether there is anything to do. Gives an import up that never gets on."""
    begin = update(UserImport).where(
        UserImport.id == import_id,
        or_(UserImport.state == before, UserImport.state == state),
        UserImport.tries < MOST_TRIES,
    )
    if _execute(begin.values(state=state, touched_at=utcnow(), tries=UserImport.tries + 1)):
        db.session.commit()
        return True
    db.session.rollback()
    if get_import(import_id).state == state:
        _fail(import_id, state, FileRefused(FileProblem.GAVE_UP))
    return False


def _move_on(import_id: int, before: ImportState, state: ImportState, **values: Any) -> bool:
    move = update(UserImport).where(UserImport.id == import_id, UserImport.state == before)
    won = _execute(move.values(state=state, touched_at=utcnow(), **values))
    if won and state in {ImportState.DONE, ImportState.FAILED}:
        _record_end(get_import(import_id))
    db.session.commit()
    return won


def _record_end(each: UserImport) -> None:
    target = Target("import", each.id, each.file_name)
    if each.state == ImportState.FAILED:
        record_action("import.failed", target, after={"error": each.error})
    else:
        counts = {name: getattr(each, name) for name in ("added", "updated", "unchanged", "bad")}
        record_action("import.finished", target, after=counts)


def _fail(import_id: int, state: ImportState, refused: FileRefused) -> None:
    """End an import that is still in that state: another run may have brought it further meanwhile."""
    each = get_import(import_id)
    ended = {"error": refused.problem, "error_detail": refused.detail[:300], "finished_at": utcnow()}
    if _move_on(import_id, state, ImportState.FAILED, **ended):
        _remove_upload(Path(each.source_path))
        if each.stored_path:
            Path(each.stored_path).unlink(missing_ok=True)


def _execute(statement: Any) -> bool:
    result = db.session.execute(statement.execution_options(synchronize_session=False))
    return bool(result.rowcount)  # type: ignore[attr-defined]
