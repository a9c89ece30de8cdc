"""Header lines that every mail program reads the same way.

Python's own header writer makes encoded words that are too long and garbles some Korean subjects, so this is our own
writer for RFC 2047 and RFC 5322. Every `*_header` function returns complete, folded bytes that end in CRLF.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import b2a_base64
from dataclasses import dataclass

from campaigns.mail.addresses import wire_address

MAX_LINE = 78
MAX_ENCODED_LINE = 76
MAX_ENCODED_WORD = 75
MAX_HARD_LINE = 998

_BASE64_START, _QUOTED_START, _WORD_END = "=?utf-8?B?", "=?utf-8?Q?", "?="
_WORD_OVERHEAD = len("=?utf-8?B??=")
_FORBIDDEN = re.compile(r"[\r\n\x00]")
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_PLAIN_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_PRINTABLE_ASCII = re.compile(r"[ -~]+")
_QUOTED_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_QUOTED_IN_ONE = bytes(_QUOTED_SAFE) + b" "
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")

# What the product writes itself, what only a mail server may write, and what would ask for receipts in its name.
_RESERVED_NAMES = frozenset(
    [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "return-path",
        "received",
        "dkim-signature",
        "domainkey-signature",
        "authentication-results",
        "in-reply-to",
        "references",
        "auto-submitted",
        "precedence",
        "errors-to",
        "return-receipt-to",
        "disposition-notification-to",
        "apparently-to",
        "delivered-to",
    ]
)
_RESERVED_PREFIXES = ("content-", "resent-", "list-", "arc-", "received-", "x-google-dkim")


class HeaderError(ValueError):
    """A header that must not be written: `reason` is a stable code, `name` the header it was meant for."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name or 'header'}: {reason}")
        self.reason = reason
        self.name = name


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address as a person typed it, with the name shown beside it."""

    address: str
    name: str = ""


def text_header(name: str, value: str) -> bytes:
    """A header of free text (Subject and the like), encoded by RFC 2047 where it has to be.

    Lines are at most 78 characters, 76 where they hold an encoded word (RFC 2047 §2). Raises HeaderError for CR, LF
    or NUL in the value.
    """
    text = clean_header_text(safe_header_value(value, name=name))
    if not text:
        return f"{name}:\r\n".encode("ascii")
    if text.isascii() and _PLAIN_WORDS.fullmatch(text) and "=?" not in text:
        if len(name) + 2 + len(text) <= MAX_LINE:
            return f"{name}: {text}\r\n".encode("ascii")
        folded = _fold_plain(name, text)
        if folded is not None:
            return folded
    return f"{''.join(_encoded_lines(name, text))}\r\n".encode("ascii")


def token_header(name: str, value: str) -> bytes:
    """A header whose value a machine reads (Message-ID, List-Unsubscribe, …): never encoded, folded only at spaces.

    Raises HeaderError when the value is not printable ASCII, or has a piece that cannot fit in 998 octets.
    """
    if not _PRINTABLE_ASCII.fullmatch(safe_header_value(value, name=name)) or value != value.strip():
        raise HeaderError("not_printable_ascii", name)
    lines = [f"{name}:"]
    for word in value.split(" "):
        if len(lines[-1]) + 1 + len(word) <= MAX_LINE or lines[-1] == f"{name}:" or not word:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    if max(map(len, lines)) > MAX_HARD_LINE:
        raise HeaderError("too_long", name)
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def address_header(name: str, mailbox: Mailbox) -> bytes:
    """From, To or Reply-To with exactly one mailbox, its name plain, quoted or encoded as it needs.

    An address that needs SMTPUTF8 is written as UTF-8 (RFC 6532), the only form there is for it.
    Raises HeaderError for a forbidden name, AddressError for a forbidden address.
    """
    address = str(wire_address(mailbox.address))
    display = clean_header_text(safe_header_value(mailbox.name, name=name)).strip()
    if not display:
        return f"{name}: {address}\r\n".encode()
    lines = _display_lines(name, display)
    tail = f" <{address}>"
    last = lines[-1].rpartition("\r\n")[2]
    limit = MAX_ENCODED_LINE if "=?" in last else MAX_LINE
    joint = "" if len(last) + len(tail) <= limit else "\r\n"
    return "".join((*lines, joint, tail, "\r\n")).encode()


def extra_header(name: str, value: str) -> bytes:
    """A header by any name, for callers that chose the name themselves: ASCII is left as it is, the rest encoded."""
    check_header_name(name)
    text = clean_header_text(safe_header_value(value, name=name)).strip()
    if _PRINTABLE_ASCII.fullmatch(text):
        return token_header(name, text)
    return text_header(name, text)


def custom_header(name: str, value: str) -> bytes:
    """A header a person typed into a settings page; refuses names that the product or a mail server writes."""
    check_custom_header_name(name)
    return extra_header(name, value)


def check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise HeaderError("bad_name", name[:64])


def check_custom_header_name(name: str) -> None:
    check_header_name(name)
    lowered = name.lower()
    if lowered in _RESERVED_NAMES or lowered.startswith(_RESERVED_PREFIXES):
        raise HeaderError("reserved_name", name)


def safe_header_value(value: str, *, name: str = "") -> str:
    """The value itself, or HeaderError when it has CR, LF or NUL: with these one field could write others."""
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise HeaderError("line_break", name)
    return value


def clean_header_text(text: str) -> str:
    """Composed (NFC: macOS sends Hangul in pieces), without control characters, lone surrogates and byte-order marks.

    Tabs and the Unicode line separators become spaces. Joiners inside emoji stay. Cleaning twice changes nothing.
    """
    if text.isprintable():
        return unicodedata.normalize("NFC", text)
    if text.isascii():
        return _UNWANTED.sub("", text.replace("\t", " "))
    for separator in "\t\u2028\u2029":
        text = text.replace(separator, " ")
    return unicodedata.normalize("NFC", _UNWANTED.sub("", text))


def looks_like_address(display_name: str) -> bool:
    """Whether a display name pretends to be an address, which mailbox providers punish in From."""
    return re.search(r"\S@\S", display_name) is not None


def encode_words(text: str, *, first_room: int = MAX_ENCODED_WORD) -> list[str]:
    """The text as RFC 2047 encoded words of at most 75 characters, none empty, no character split between two.

    The first has at most `first_room` characters; an empty first entry says that not even one character fitted there.
    """
    data = text.encode()
    quoted_length = len(data) + 2 * len(data.translate(None, _QUOTED_IN_ONE))
    if quoted_length <= (len(data) + 2) // 3 * 4:
        return _quoted_words(text, first_room)
    return _base64_words(data, first_room)


def _base64_words(data: bytes, room: int) -> list[str]:
    words: list[str] = []
    start = 0
    while start < len(data):
        end = start + max(0, room - _WORD_OVERHEAD) // 4 * 3
        if end < len(data):
            while start < end and data[end] & 0xC0 == 0x80:
                end -= 1
        piece = b2a_base64(data[start:end], newline=False).decode("ascii")
        words.append(f"{_BASE64_START}{piece}{_WORD_END}" if piece else "")
        start, room = end, MAX_ENCODED_WORD
    return words


def _quoted_words(text: str, room: int) -> list[str]:
    words: list[str] = []
    pieces: list[str] = []
    used = _WORD_OVERHEAD
    for character in text:
        piece = _quoted(character)
        if used + len(piece) > room:
            words.append(f"{_QUOTED_START}{''.join(pieces)}{_WORD_END}" if pieces else "")
            pieces, used, room = [], _WORD_OVERHEAD, MAX_ENCODED_WORD
        pieces.append(piece)
        used += len(piece)
    return [*words, f"{_QUOTED_START}{''.join(pieces)}{_WORD_END}"]


def _quoted(character: str) -> str:
    if character == " ":
        return "_"
    return "".join(chr(byte) if byte in _QUOTED_SAFE else f"={byte:02X}" for byte in character.encode())


def _fold_plain(name: str, text: str) -> bytes | None:
    """The words over several lines, or None when one of them is too long for a line of its own."""
    lines = [f"{name}:"]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) <= MAX_LINE:
            lines[-1] += f" {word}"
        elif len(word) < MAX_LINE and len(lines[-1]) > len(name) + 1:
            lines.append(f" {word}")
        else:
            return None
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _encoded_lines(name: str, text: str) -> list[str]:
    room = min(MAX_ENCODED_WORD, MAX_ENCODED_LINE - len(name) - 2)
    first, *words = encode_words(text, first_room=room)
    lines = [f"{name}: {first}" if first else f"{name}:"]
    lines += [f"\r\n {word}" for word in words]
    return lines


def _display_lines(name: str, display: str) -> list[str]:
    phrase = _plain_phrase(display)
    if phrase is not None and len(name) + 2 + len(phrase) <= MAX_LINE:
        return [f"{name}: {phrase}"]
    return _encoded_lines(name, display)


def _plain_phrase(display: str) -> str | None:
    """The name as atoms or a quoted string; None when it must be encoded (also when it only looks encoded)."""
    if "=?" in display or not _PRINTABLE_ASCII.fullmatch(display):
        return None
    if _PLAIN_PHRASE.fullmatch(display):
        return display
    escaped = display.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
