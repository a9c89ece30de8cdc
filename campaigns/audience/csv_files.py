"""Files of text in columns, as they come: any of four encodings, any delimiter, any size, with mistakes in them.

A file is first copied as UTF-8 with plain line ends. Rows are then read from the copy one at a time, each with the
place where the next one begins, so that reading can go on there after a crash.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from campaigns.audience.import_columns import DELIMITERS, Layout, guess_layout, names_address
from campaigns.audience.import_problems import FileProblem, FileRefused, RowProblem

HEAD_BYTES: Final = 65_536
COPIED_AT_ONCE: Final = 1_000_000
LONGEST_RECORD_BYTES: Final = 100_000  # below the csv module's own limit for one field
MOST_LINES: Final = 100  # of one row, by line breaks within quotation marks; more, and a closing mark was forgotten
SAMPLE_ROWS: Final = 50

_MAGIC: Final = (
    (b"PK\x03\x04", FileProblem.SPREADSHEET),  # .xlsx, and any other ZIP: see _kind_of_zip
    (b"\xd0\xcf\x11\xe0", FileProblem.SPREADSHEET),  # .xls
    (b"\x1f\x8b", FileProblem.ARCHIVE),
    (b"7z\xbc\xaf", FileProblem.ARCHIVE),
    (b"Rar!", FileProblem.ARCHIVE),
    (b"%PDF", FileProblem.NOT_TEXT),
    (b"\x89PNG", FileProblem.NOT_TEXT),
    (b"\xff\xd8\xff", FileProblem.NOT_TEXT),
    (b"GIF8", FileProblem.NOT_TEXT),
    (b"\x7fELF", FileProblem.NOT_TEXT),
    (b"SQLite format 3", FileProblem.NOT_TEXT),
)
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(slots=True)
class Record:
    """One row as it stands in the file; with a problem, `cells` is the one line that could not be taken apart."""

    number: int  # as spreadsheets count: the first row is 1, empty ones count
    cells: list[str]
    problem: RowProblem | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it."""
        return not any(self.cells) or not "".join(self.cells).strip()


def copy_as_utf8(source: Path, target: Path) -> str:
    """Write the text of `source` to `target` in UTF-8 with plain line ends, and return the encoding it had.

    Raises FileRefused for what is empty, not text, or in none of the encodings.
    """
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES)
    refuse_what_is_no_text(head)
    furthest = 0
    for encoding in _likely_encodings(head):
        line = _transcode(source, target, encoding)
        if line is None:
            return encoding
        furthest = max(furthest, line)
    if _has_controls(head):
        raise FileRefused(FileProblem.NOT_TEXT)
    raise FileRefused(FileProblem.ENCODING, str(furthest))


def find_layout(path: Path) -> Layout:
    """Return the delimiter and the columns of a copy. Raises FileRefused."""
    samples = {delimiter: _sample(path, delimiter) for delimiter in DELIMITERS}
    if not all(samples.values()):
        raise FileRefused(FileProblem.EMPTY)
    # The right delimiter sets the address apart, and makes the most columns.
    delimiter = max(DELIMITERS, key=lambda each: (names_address(samples[each][0].cells), len(samples[each][0].cells)))
    records = samples[delimiter]
    return guess_layout([record.cells for record in records], delimiter, first_row=records[0].number)


def count_rows(path: Path, delimiter: str) -> int:
    """Return how many rows there are, the names of the columns among them, empty ones not."""
    with path.open("rb") as file:
        return sum(not record.is_empty for record in RecordReader(file, delimiter))


class RecordReader:
    """Reads rows from a copy, beginning at a byte where one begins; `offset` is where the next one does.

    A row that cannot be taken apart costs only its own line: reading goes on with the line after it.
    """

    def __init__(self, file: BinaryIO, delimiter: str, *, offset: int = 0, number: int = 0) -> None:
        self._lines = _Lines(file)
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self.offset = offset
        self.number = number
        file.seek(offset)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        lines = self._lines
        lines.begin_record()
        problem = None
        try:
            cells = next(self._reader)
        except (csv.Error, _TooManyLines):
            first = lines.keep_only_first()
            cells, problem = [first.decode(errors="replace").rstrip("\n")], RowProblem.QUOTES
        if lines.has_long_line:
            cells, problem = [cells[0][:200]], RowProblem.ROW_LONG
        self.number += 1
        self.offset += lines.taken_bytes
        return Record(self.number, cells, problem)


class _TooManyLines(Exception):
    """A row goes on over so many lines that a quotation mark must have been left open."""


class _Lines:
    """The lines of a file, decoded; those of the present record can be put back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._put_back: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self.taken_bytes = 0
        self.has_long_line = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._put_back.popleft() if self._put_back else self._file.readline(LONGEST_RECORD_BYTES)
        if not raw:
            raise StopIteration
        self._taken.append(raw)
        self.taken_bytes += len(raw)
        if len(raw) == LONGEST_RECORD_BYTES and not raw.endswith(b"\n"):
            return self._pass_long_line(raw)
        if len(self._taken) > MOST_LINES or self.taken_bytes > LONGEST_RECORD_BYTES:
            raise _TooManyLines
        return raw.decode()

    def begin_record(self) -> None:
        self._taken.clear()
        self.taken_bytes = 0
        self.has_long_line = False

    def keep_only_first(self) -> bytes:
        """Put all lines of this record back but the first, and return that."""
        first, *rest = self._taken
        if not self.has_long_line:  # of which the end is gone already
            self._put_back.extendleft(reversed(rest))
            self.taken_bytes = len(first)
        return first

    def _pass_long_line(self, raw: bytes) -> str:
        self.has_long_line = True
        while part := self._file.readline(LONGEST_RECORD_BYTES):
            self.taken_bytes += len(part)
            if part.endswith(b"\n"):
                break
        # Without quotation marks, so that the record ends here.
        return raw[:1000].decode(errors="ignore").replace('"', "'")


def _sample(path: Path, delimiter: str) -> list[Record]:
    records: list[Record] = []
    with path.open("rb") as file:
        for record in RecordReader(file, delimiter):
            if record.problem is None and not record.is_empty:
                records.append(record)
            if len(records) >= SAMPLE_ROWS or record.number > 10 * SAMPLE_ROWS:
                break
    return records


def refuse_what_is_no_text(head: bytes) -> None:
    """Raise FileRefused when a file with this beginning is empty, or something else than text."""
    if not head.strip(b"\x00\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise FileRefused(FileProblem.EMPTY)
    for magic, problem in _MAGIC:
        if head.startswith(magic):
            is_other_zip = magic.startswith(b"PK") and not any(name in head for name in (b"xl/", b"[Content_Types]"))
            raise FileRefused(FileProblem.ARCHIVE if is_other_zip else problem)
    if (
        head.count(0) > 0.1 * len(head)
        and not _utf16_without_mark(head)
        and not head.startswith((b"\xff\xfe", b"\xfe\xff"))
    ):
        raise FileRefused(FileProblem.NOT_TEXT)


def _likely_encodings(head: bytes) -> Sequence[str]:
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return (encoding,)
    guessed = _utf16_without_mark(head)
    # UTF-8 first: hardly any text in CP949 is valid UTF-8 by chance, while the other way round much is.
    return (guessed,) if guessed else ("utf-8", "cp949")


def _utf16_without_mark(head: bytes) -> str:
    """Addresses are ASCII, so in UTF-16 many bytes are 0, all at odd or all at even places."""
    even, odd, pairs = head[0::2].count(0), head[1::2].count(0), len(head) // 2
    if odd > 0.2 * pairs and even < 0.1 * odd:
        return "utf-16-le"
    return "utf-16-be" if even > 0.2 * pairs and odd < 0.1 * even else ""


def _transcode(source: Path, target: Path, encoding: str) -> int | None:
    """Return the line at which the encoding turned out to be wrong, None when it was right all the way."""
    reading = "utf-8-sig" if encoding == "utf-8" else encoding
    line = 1
    with source.open("rb") as raw, target.open("w", encoding="utf-8", newline="\n") as copy:
        text = io.TextIOWrapper(raw, encoding=reading, newline=None)
        try:
            while part := text.read(COPIED_AT_ONCE):
                copy.write(part)
                line += part.count("\n")
        except UnicodeDecodeError as error:
            return line + bytes(error.object[: error.start]).count(b"\n")
    return None


def _has_controls(head: bytes) -> bool:
    return any(byte < 9 or 14 <= byte < 27 for byte in head)
