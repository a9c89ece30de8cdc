"""The inbox of trial mode: mails that the built-in catcher took, in a file of their own beside the database.

The catcher's process writes, web processes read. The file can be deleted at any time while nothing runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.policy import default as default_policy
from pathlib import Path

MOST_KEPT = 50_000
PAGE_SIZE = 50
TRIM_EVERY = 1_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    message_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    raw BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS mail_recipient ON mail (recipient);
"""
_COLUMNS = "id, received_at, sender, recipient, subject, message_id, size"
_INSERT = (
    "INSERT INTO mail (received_at, sender, recipient, subject, message_id, size, raw) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True)
class CaughtMail:
    """One mail as the catcher took it from one sender to one recipient."""

    id: int
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    message_id: str
    size: int


@dataclass(frozen=True)
class InboxPage:
    """A page of the inbox, newest first; the ids are where the neighbouring pages begin, None when there is none."""

    mails: Sequence[CaughtMail]
    newer_than: int | None
    older_than: int | None
    total: int


class InboxWriter:
    """Writes caught mails; for one thread of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        # A commit survives the end of this process; only a power cut could take back the last moment.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)
        self._since_trim = 0

    def write(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Store rows made by `inbox_row` in one transaction, and drop the oldest mails over the limit now and then."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_INSERT, rows)
            self._since_trim += len(rows)
            if self._since_trim >= TRIM_EVERY:
                self._connection.execute("DELETE FROM mail WHERE id <= (SELECT MAX(id) FROM mail) - ?", (MOST_KEPT,))
                self._since_trim = 0
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def inbox_row(*, received_at: datetime, sender: str, recipient: str, content: bytes) -> tuple[object, ...]:
    """Return one mail as a row of the inbox."""
    end = content.find(b"\r\n\r\n")
    headers = BytesHeaderParser(policy=default_policy).parsebytes(content[: end + 4] if end >= 0 else content)
    subject, message_id = _header(headers, "Subject"), _header(headers, "Message-ID")
    return received_at.isoformat(), sender, recipient, subject[:500], message_id[:500], len(content), content


def inbox_path(instance_dir: Path) -> Path:
    """Return the file that the inbox is kept in."""
    return instance_dir / "inbox.sqlite"


def read_page(
    path: Path, *, search: str = "", older_than: int | None = None, newer_than: int | None = None
) -> InboxPage:
    """Return fifty mails by keyset, newest first; `search` matches parts of the recipient or the subject."""
    with _reading(path) as connection:
        if connection is None:
            return InboxPage((), None, None, 0)
        where, values = _matching(search)
        total = connection.execute(f"SELECT COUNT(*) FROM mail WHERE {where}", values).fetchone()[0]  # noqa: S608 - ours
        mails, has_more = _read_rows(connection, where, values, older_than=older_than, newer_than=newer_than)
    backwards = newer_than is not None
    older = bool(mails) and (backwards or has_more)
    newer = bool(mails) and (has_more if backwards else older_than is not None)
    return InboxPage(mails, mails[0].id if newer else None, mails[-1].id if older else None, total)


def read_mail(path: Path, mail_id: int) -> tuple[CaughtMail, bytes] | None:
    """Return one mail and its source, or None when it is not (or no longer) there."""
    with _reading(path) as connection:
        if connection is None:
            return None
        row = connection.execute(f"SELECT {_COLUMNS}, raw FROM mail WHERE id = ?", (mail_id,)).fetchone()  # noqa: S608
    return (_caught(row[:7]), bytes(row[7])) if row else None


def recipients_after(path: Path, mail_id: int) -> dict[str, int]:
    """Return how many mails each address got after a mail; for checking that each got exactly one."""
    with _reading(path) as connection:
        if connection is None:
            return {}
        query = "SELECT recipient, COUNT(*) FROM mail WHERE id > ? GROUP BY recipient"
        return {str(recipient): int(count) for recipient, count in connection.execute(query, (mail_id,))}


def newest_id(path: Path) -> int:
    """Return the id of the newest mail, 0 when there is none."""
    with _reading(path) as connection:
        return int(connection.execute("SELECT COALESCE(MAX(id), 0) FROM mail").fetchone()[0]) if connection else 0


def parse_mail(raw: bytes) -> EmailMessage:
    """Return a mail's source as a message."""
    message = BytesParser(policy=default_policy).parsebytes(raw)
    assert isinstance(message, EmailMessage)
    return message


def part_text(message: EmailMessage, kind: str) -> str:
    """Return the text of a mail's "html" or "plain" part, empty when it has none."""
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset that nobody knows
        return bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'mail'").fetchone()
        yield connection if has_table else None


def _matching(search: str) -> tuple[str, tuple[str, ...]]:
    if not search:
        return "1", ()
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return "(recipient LIKE ? ESCAPE '\\' OR subject LIKE ? ESCAPE '\\')", (f"%{escaped}%", f"%{escaped}%")


def _read_rows(
    connection: sqlite3.Connection,
    where: str,
    values: tuple[str, ...],
    *,
    older_than: int | None,
    newer_than: int | None,
) -> tuple[list[CaughtMail], bool]:
    """Return up to a page of mails, newest first, and whether there are more in the direction of reading."""
    bounds: tuple[str | int, ...] = values
    order = "DESC"
    if newer_than is not None:
        where, bounds, order = f"{where} AND id > ?", (*values, newer_than), "ASC"
    elif older_than is not None:
        where, bounds = f"{where} AND id < ?", (*values, older_than)
    query = f"SELECT {_COLUMNS} FROM mail WHERE {where} ORDER BY id {order} LIMIT {PAGE_SIZE + 1}"  # noqa: S608
    rows = [_caught(row) for row in connection.execute(query, bounds)]
    page = rows[:PAGE_SIZE]
    return (page[::-1] if order == "ASC" else page), len(rows) > PAGE_SIZE


def _caught(row: Sequence[object]) -> CaughtMail:
    id_, received_at, sender, recipient, subject, message_id, size = row
    return CaughtMail(
        int(str(id_)), datetime.fromisoformat(str(received_at)), str(sender), str(recipient), str(subject),
        str(message_id), int(str(size)),
    )  # fmt: skip


def _header(headers: EmailMessage | object, name: str) -> str:
    try:
        return str(headers[name] or "")  # type: ignore[index]
    except Exception:  # what a stranger wrote into a header may be beyond the parser; the source shows it
        return ""
