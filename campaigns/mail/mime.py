"""Mail as bytes: whole messages for single mails, and the small pieces a campaign is compiled from.

Everything that leaves here has CRLF line ends, lines of at most 998 octets, and only 7bit, quoted-printable or base64
bodies: raw 8-bit text is re-encoded on the way, which breaks signatures (RFC 6152 §3, RFC 6376 §5.3).
"""

from __future__ import annotations

import re
import unicodedata
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Literal

from campaigns.mail.addresses import ascii_domain
from campaigns.mail.headers import (
    MAX_HARD_LINE,
    HeaderError,
    Mailbox,
    address_header,
    extra_header,
    text_header,
    token_header,
)

# Quoted-printable costs three octets for each non-ASCII octet, base64 four for three of any: they meet at one sixth.
BASE64_FROM_SHARE = 0.15
BASE64_COLUMNS = 76

_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_OWN_NAMES = frozenset(
    ["from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "sender", "bcc", "return-path"]
)

Subtype = Literal["plain", "html"]


class TransferEncoding(StrEnum):
    """Content-Transfer-Encoding (RFC 2045 §6)."""

    SEVEN_BIT = "7bit"
    QUOTED_PRINTABLE = "quoted-printable"
    BASE64 = "base64"


def build_message(
    *,
    sender: Mailbox,
    recipient: Mailbox,
    subject: str,
    text: str,
    message_id: str,
    date: datetime,
    html: str | None = None,
    reply_to: Mailbox | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """One complete mail to one person: multipart/alternative when there is HTML, text/plain when not.

    `message_id` in angle brackets, the same on each attempt; `date` aware. `headers` are those the product adds itself
    (List-Unsubscribe, Auto-Submitted, …); what people type goes through `headers.custom_header`'s check first.
    The same arguments give the same bytes. Raises HeaderError or AddressError.
    """
    head = [
        address_header("From", sender),
        address_header("To", recipient),
        text_header("Subject", subject),
        date_header(date),
        token_header("Message-ID", message_id),
    ]
    if reply_to is not None:
        head.append(address_header("Reply-To", reply_to))
    head.extend(_added_header(name, value) for name, value in headers)
    head.append(b"MIME-Version: 1.0\r\n")
    parts = [text_part("plain", text)] if html is None else [text_part("plain", text), text_part("html", html)]
    return b"".join(head) + join_parts(parts, seed=message_id)


def text_part(subtype: Subtype, text: str) -> bytes:
    """One part with its own header lines, encoded the way that suits its text."""
    text = clean_text(text)
    encoding = choose_encoding(text)
    return part_head(subtype, encoding) + encode_body(text, encoding)


def part_head(subtype: Subtype, encoding: TransferEncoding) -> bytes:
    """The header lines of a text part and the empty line after them."""
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding.value}\r\n\r\n"
    ).encode("ascii")


def join_parts(parts: Sequence[bytes], *, seed: str) -> bytes:
    """The end of a header and the body: a single part as it is, several as multipart/alternative in order."""
    if len(parts) == 1:
        return parts[0]
    boundary = boundary_for(seed, parts)
    line = b"\r\n--" + boundary
    return b"".join(
        (
            alternative_head(boundary),
            b"--" + boundary + b"\r\n",
            (line + b"\r\n").join(parts),
            line,
            b"--\r\n",
        )
    )


def alternative_head(boundary: bytes) -> bytes:
    """The header line of a multipart/alternative and the empty line after it."""
    return b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n\r\n'


def boundary_for(seed: str, parts: Sequence[bytes] = ()) -> bytes:
    """A boundary made from the seed (a Message-ID) that occurs in none of the parts.

    It starts with `=_`, which neither base64 nor quoted-printable can contain (RFC 2045 §6.7), so only 7bit parts
    have to be searched, and the search is there for those.
    """
    for attempt in range(1000):
        digest = blake2b(f"{attempt}:{seed}".encode(), digest_size=16, person=b"boundary").hexdigest()
        boundary = f"=_{digest}".encode("ascii")
        if not any(boundary in part for part in parts):
            return boundary
    raise ValueError("no boundary is absent from the parts")


def choose_encoding(text: str) -> TransferEncoding:
    """7bit for ASCII with lines that fit, base64 for much non-ASCII text, quoted-printable for the rest."""
    if text.isascii():
        fits = len(text) <= MAX_HARD_LINE or max(map(len, text.split("\n"))) <= MAX_HARD_LINE
        return TransferEncoding.SEVEN_BIT if fits else TransferEncoding.QUOTED_PRINTABLE
    octets = len(text.encode())
    share = 1 - len(text.encode("ascii", "ignore")) / octets
    return TransferEncoding.BASE64 if share >= BASE64_FROM_SHARE else TransferEncoding.QUOTED_PRINTABLE


def encode_body(text: str, content_transfer_encoding: TransferEncoding) -> bytes:
    """The text as body lines that end in CRLF. Takes text as `clean_text` leaves it (only `\\n` breaks lines).

    Raises UnicodeEncodeError for non-ASCII text as 7bit.
    """
    if not text.endswith("\n"):
        text += "\n"
    text = text.replace("\n", "\r\n")
    if content_transfer_encoding is TransferEncoding.BASE64:
        return fold_base64(text.encode())
    if content_transfer_encoding is TransferEncoding.SEVEN_BIT:
        return text.encode("ascii")
    return b2a_qp(text.encode(), istext=True)


def fold_base64(data: bytes) -> bytes:
    """Base64 in lines of 76 columns (RFC 2045 §6.8), each ended by CRLF."""
    encoded = b2a_base64(data, newline=False)
    lines = [encoded[start : start + BASE64_COLUMNS] for start in range(0, len(encoded), BASE64_COLUMNS)]
    lines.append(b"")
    return b"\r\n".join(lines)


def clean_text(text: str) -> str:
    """Body text with `\\n` as its only line break, composed (NFC), without control characters and lone surrogates.

    The Unicode line separators become line breaks. Tabs, and joiners inside emoji, stay. Idempotent.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = text.replace("\u2028", "\n").replace("\u2029", "\n")
        text = _UNWANTED.sub("", text)
        return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
    return _UNWANTED.sub("", text)


def message_id(key: bytes, *parts: object, domain: str) -> str:
    """`<hash@domain>`, the same for the same key and parts (RFC 5322 §3.6.4), telling nothing about them.

    Parts are kept apart (`"1", "23"` differs from `"12", "3"`). `key` is at most 64 bytes.
    """
    digest = blake2b(key=key, digest_size=20, person=b"message-id")
    for part in parts:
        data = str(part).encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return f"<{digest.hexdigest()}@{ascii_domain(domain)}>"


def date_header(date: datetime) -> bytes:
    """`Date:` with a numeric zone (RFC 5322 §3.3). Raises ValueError for a time without a zone."""
    if date.tzinfo is None:
        raise ValueError("a mail's date needs a time zone")
    return f"Date: {format_datetime(date)}\r\n".encode("ascii")


def _added_header(name: str, value: str) -> bytes:
    if name.lower() in _OWN_NAMES or name.lower().startswith("content-"):
        raise HeaderError("duplicate", name)
    return extra_header(name, value)
