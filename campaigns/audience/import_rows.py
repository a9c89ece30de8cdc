"""One row of a file: the person it describes, or why it cannot be taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from campaigns.audience.csv_files import Record, RecordReader
from campaigns.audience.import_addresses import AddressRefused, read_address
from campaigns.audience.import_columns import Layout
from campaigns.audience.import_problems import RowProblem

LONGEST_PERSON_NAME: Final = 200  # the column's length
LONGEST_ATTRIBUTE: Final = 1_000
LONGEST_SHOWN: Final = 200
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_KOREAN: Final = frozenset({"ko", "kor", "kr", "korean", "한국어", "한글", "국문", "한국말"})
_ENGLISH: Final = frozenset({"en", "eng", "english", "us", "uk", "영어", "영문"})
_LANGUAGES: Final[Mapping[str, str]] = {**dict.fromkeys(_KOREAN, "ko"), **dict.fromkeys(_ENGLISH, "en")}


@dataclass(slots=True)
class Person:
    """What a row says of a person; empty where it says nothing."""

    row: int
    email: str
    key: str
    name: str
    language: str | None
    attributes: dict[str, str]


@dataclass(slots=True)
class Remark:
    """What is to be said of a row: why it was not taken, or something about one that was."""

    row: int
    problem: RowProblem
    value: str


@dataclass(slots=True)
class Chunk:
    """Some rows of a file, read and judged; `offset` and `last_row` say where reading goes on."""

    people: list[Person]
    refused: list[Remark]
    remarks: list[Remark]
    offset: int
    last_row: int

    @property
    def rows(self) -> int:
        """How many rows these are, without empty ones."""
        return len(self.people) + len(self.refused)


class RowRefused(ValueError):
    """A row cannot be taken: `problem` says why, `value` is what stood there."""

    def __init__(self, problem: RowProblem, value: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.value = value[:LONGEST_SHOWN].replace("\x00", "␀")


def read_chunk(reader: RecordReader, layout: Layout, size: int) -> Chunk:
    """Read up to `size` rows, the names of the columns and empty ones among them."""
    chunk = Chunk([], [], [], reader.offset, reader.number)
    for record in islice(reader, size):
        if record.number == layout.names_row or record.is_empty:
            continue
        try:
            chunk.people.append(read_person(record, layout, chunk.remarks))
        except RowRefused as refused:
            chunk.refused.append(Remark(record.number, refused.problem, refused.value))
    chunk.offset, chunk.last_row = reader.offset, reader.number
    return chunk


def read_person(record: Record, layout: Layout, remarks: list[Remark]) -> Person:
    """Return the person of a row, adding what is to be remarked. Raises RowRefused."""
    cells = record.cells
    if record.problem is not None:
        raise RowRefused(record.problem, cells[0])
    if len(cells) > layout.columns and any(cell.strip() for cell in cells[layout.columns :]):
        raise RowRefused(RowProblem.TOO_MANY_VALUES, layout.delimiter.join(cells))
    missing = layout.columns - len(cells)
    if missing > 0:
        cells = cells + [""] * missing
    try:
        address = read_address(cells[layout.email])
    except AddressRefused as refused:
        raise RowRefused(refused.problem, cells[layout.email].strip() or _rest_of(cells)) from refused
    name = _clean(cells[layout.name], LONGEST_PERSON_NAME) if layout.name is not None else ""
    language = _read_language(record, cells, layout, remarks) if layout.language is not None else None
    attributes = {key: value for index, key in layout.attributes if (value := _clean(cells[index], LONGEST_ATTRIBUTE))}
    return Person(record.number, address.email, address.key, name, language, attributes)


def _clean(cell: str, longest: int) -> str:
    """Return a cell as one line without spaces around it, in composed form. Raises RowRefused."""
    if not cell:
        return ""
    text = cell if cell.isalnum() else " ".join(cell.split())
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable() and _CONTROL.search(text):
        raise RowRefused(RowProblem.CONTROL_CHARACTERS, text)
    if len(text) > longest:
        raise RowRefused(RowProblem.LONG_VALUE, text)
    return text


def _read_language(record: Record, cells: Sequence[str], layout: Layout, remarks: list[Remark]) -> str | None:
    assert layout.language is not None
    text = _clean(cells[layout.language], LONGEST_ATTRIBUTE).casefold()
    if not text:
        return None
    found = _LANGUAGES.get(text) or _LANGUAGES.get(re.split(r"[-_ ]", text)[0])
    if found is None:
        remarks.append(Remark(record.number, RowProblem.LANGUAGE, text[:LONGEST_SHOWN]))
    return found


def _rest_of(cells: Sequence[str]) -> str:
    return ", ".join(cell.strip() for cell in cells if cell.strip())
