"""How the value of a merge field is written into each place of a mail."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from html import escape
from typing import Final
from urllib.parse import quote


class Context(StrEnum):
    """A place in a mail where a merge field may stand; each has its own escaping."""

    TEXT = "text"
    HTML = "html"
    HEADER = "header"
    URL_PART = "url-part"
    URL_WHOLE_TEXT = "url-whole-text"
    URL_WHOLE_HTML = "url-whole-html"


def write_value(value: str, context: Context) -> str:
    """Return `value` made safe for `context`; never raises, whatever the value holds."""
    return WRITERS[context](value)


def clean_text(value: str) -> str:
    """Return `value` in Unicode form NFC, with line ends as LF and without what no mail may carry.

    Removed are control characters but TAB and LF, halves of surrogate pairs, byte-order marks,
    and the characters that this package marks places with. Zero-width joiners stay: emoji need them.
    """
    if not value.isprintable():
        value = value.replace("\r\n", "\n").replace("\r", "\n")
        value = value.replace("\u2028", "\n").replace("\u2029", "\n").replace("\x85", "\n")
        value = _UNWANTED.sub("", value)
    return unicodedata.normalize("NFC", value)


def clean_line(value: str) -> str:
    """Return `value` as one header-safe line: no line end, no control, no text-direction trick."""
    return " ".join(_DIRECTION_MARKS.sub("", clean_text(value)).split())


def write_url_part(value: str) -> str:
    """Return `value` percent-encoded so that it stays inside one component of an address."""
    return quote(clean_line(value), safe="")


def write_whole_url(value: str) -> str:
    """Return `value` when it is an address that a mail may link to, else an empty string."""
    address = clean_line(value)
    if not ALLOWED_ADDRESS.match(address):
        return ""
    return quote(address, safe=_ADDRESS_CHARACTERS)


def is_same_everywhere(value: str) -> bool:
    """Tell whether all that `WORDS` names write `value` as it is: letters, digits and Hangul, single spaces between."""
    return _SIMPLE_WORDS.fullmatch(value) is not None


ALLOWED_ADDRESS: Final = re.compile(r"(?:https?://[^/\s]|mailto:|tel:)", re.IGNORECASE)

_UNWANTED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\ue00f\ufeff\ufffe\uffff]")
_SIMPLE_WORDS: Final = re.compile("[0-9A-Za-z가-힣_-]+(?: [0-9A-Za-z가-힣_-]+)*")
_DIRECTION_MARKS: Final = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_ADDRESS_CHARACTERS: Final = ":/?#[]@!$&()*+,;=%~"

WRITERS: Final[dict[Context, Callable[[str], str]]] = {
    Context.TEXT: clean_text,
    Context.HTML: lambda value: escape(clean_text(value)),
    Context.HEADER: clean_line,
    Context.URL_PART: write_url_part,
    Context.URL_WHOLE_TEXT: write_whole_url,
    Context.URL_WHOLE_HTML: lambda value: escape(write_whole_url(value)),
}
WORDS: Final = frozenset({Context.TEXT, Context.HTML, Context.HEADER})
