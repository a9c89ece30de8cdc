"""What the columns of a file mean: guessed from their names in Korean and English, or from what stands in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from campaigns.audience.fields import LONGEST_NAME, MOST_FIELDS
from campaigns.audience.import_addresses import looks_like_address
from campaigns.audience.import_problems import FileProblem, FileRefused
from campaigns.merge_fields import BUILT_IN_FIELDS

DELIMITERS: Final = (",", "\t", ";", "|")
EMAIL, NAME, LANGUAGE, SECRET = "email", "name", "language", "secret"

# Compared without case, spaces and punctuation: "E-mail address" and "e_mail_address" are one name.
_MEANINGS: Final[Mapping[str, str]] = {
    EMAIL: """
        email emailaddress emailid emailaddr mail mailaddress useremail contactemail primaryemail e메일 e메일주소 이메일
        이메일주소 이메일어드레스 이멜 메일 메일주소 전자우편 전자우편주소 전자메일 전자메일주소 회원이메일 수신이메일
        받는사람이메일 연락이메일""",
    NAME: """
        name fullname displayname username membername customername recipientname contactname 이름 성명 성함 회원명
        고객명 회원이름 고객이름 사용자이름 사용자명 담당자 담당자명 수신자명 받는사람 받는사람이름 닉네임 별명""",
    LANGUAGE: "language lang locale preferredlanguage 언어 사용언어 선호언어 언어코드",
    # Never stored, wherever they come from: neither belongs into a table that goes to mails.
    SECRET: "password passwd pwd pw passwordhash hashedpassword 비밀번호 패스워드 암호 주민등록번호 주민번호",
}
_TITLES: Final = {title: meaning for meaning, titles in _MEANINGS.items() for title in titles.split()}


@dataclass(frozen=True)
class Layout:
    """Where each value stands: indexes of columns, from 0; `attributes` are pairs of index and name."""

    delimiter: str
    names_row: int  # the number of the row that names the columns; 0 when none does
    columns: int
    email: int
    name: int | None
    language: int | None
    attributes: tuple[tuple[int, str], ...]
    left_out: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Layout:
        """Return the layout that `as_dict` gave."""
        attributes = tuple((int(index), str(name)) for index, name in stored["attributes"])
        return cls(**{**stored, "attributes": attributes, "left_out": tuple(stored["left_out"])})


def guess_layout(rows: Sequence[Sequence[str]], delimiter: str, *, first_row: int = 1) -> Layout:
    """Return what the columns of these first rows mean, the very first being the names if it looks like names.

    `first_row` is its number in the file.

    Raises FileRefused when no column can be told to hold the addresses.
    """
    first, rest = rows[0], rows[1:]
    if any(looks_like_address(cell) for cell in first):
        return _without_names(rows, delimiter)
    meanings = [meaning_of(cell) for cell in first]
    email = _only(EMAIL, meanings, first, FileProblem.SEVERAL_EMAIL_COLUMNS)
    if email is None:
        email = _column_of_addresses(rest)
    if email is None:
        raise FileRefused(FileProblem.NO_EMAIL_COLUMN, ", ".join(cell.strip() for cell in first if cell.strip())[:200])
    return _with_names(first, meanings, email, delimiter, first_row)


def names_address(first: Sequence[str]) -> bool:
    """Tell whether a first row has a column for addresses, or an address."""
    return any(meaning_of(cell) == EMAIL or looks_like_address(cell) for cell in first)


def meaning_of(title: str) -> str | None:
    """Return which of our columns a title means: EMAIL, NAME, LANGUAGE or SECRET; None for any other."""
    plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", title).casefold())
    return _TITLES.get(plain)


def field_name(title: str) -> str:
    """Return a column's title as merge fields can write it: lower case, one word ("가입 경로" → "가입_경로")."""
    name = re.sub(r"[\W_]+", "_", unicodedata.normalize("NFC", title).strip().lower()).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _with_names(first: Sequence[str], meanings: Sequence[str | None], email: int, delimiter: str, row: int) -> Layout:
    chosen: dict[str, int] = {}
    attributes: list[tuple[int, str]] = []
    left_out: list[str] = []
    for index, (title, meaning) in enumerate(zip(first, meanings, strict=True)):
        if index == email:
            continue
        if meaning in (NAME, LANGUAGE) and meaning not in chosen:
            chosen[meaning] = index
        elif meaning == SECRET:
            left_out.append(title.strip())
        elif name := field_name(title):
            attributes.append((index, name))
    _check_names([name for _, name in attributes])
    return Layout(
        delimiter=delimiter,
        names_row=row,
        columns=len(first),
        email=email,
        name=chosen.get(NAME),
        language=chosen.get(LANGUAGE),
        attributes=tuple(attributes),
        left_out=tuple(left_out),
    )


def _without_names(rows: Sequence[Sequence[str]], delimiter: str) -> Layout:
    """A bare list: addresses alone, or beside one other column, which can only be the names."""
    columns = max(len(row) for row in rows)
    email = _column_of_addresses(rows)
    if email is None or columns > 2:
        raise FileRefused(FileProblem.NO_COLUMN_NAMES)
    name = 1 - email if columns == 2 else None
    return Layout(delimiter, 0, columns, email, name, None, (), ())


def _column_of_addresses(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the one column in which whatever stands there is an address, most of the time."""
    found = []
    for index in range(max((len(row) for row in rows), default=0)):
        cells = [row[index] for row in rows if index < len(row) and row[index].strip()]
        if cells and sum(map(looks_like_address, cells)) > 0.5 * len(cells):
            found.append(index)
    return found[0] if len(found) == 1 else None


def _only(meaning: str, meanings: Sequence[str | None], titles: Sequence[str], problem: FileProblem) -> int | None:
    indexes = [index for index, each in enumerate(meanings) if each == meaning]
    if len(indexes) > 1:
        raise FileRefused(problem, ", ".join(titles[index].strip() for index in indexes)[:200])
    return indexes[0] if indexes else None


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_FIELDS:
        raise FileRefused(FileProblem.TOO_MANY_COLUMNS, str(len(names)))
    for name in names:
        if len(name) > LONGEST_NAME:
            raise FileRefused(FileProblem.LONG_COLUMN_NAME, name[:LONGEST_NAME])
        if names.count(name) > 1:
            raise FileRefused(FileProblem.SAME_COLUMN_TWICE, name)
        # These are taken: an attribute of that name could never be written into a mail.
        if name in (EMAIL, NAME, LANGUAGE):
            raise FileRefused(FileProblem.SAME_COLUMN_TWICE, name)
        if name in BUILT_IN_FIELDS:
            raise FileRefused(FileProblem.BUILT_IN_COLUMN_NAME, name)
