"""Quoted-printable (RFC 2045 §6.7) in lines that no mail server has a reason to touch.

Stricter than the standard: no line starts with a dot, so that nothing is doubled on the wire (RFC 5321 §4.5.2), or with
`From `, which mailbox files escape; none ends in white space; no character is split between two lines.
"""

from __future__ import annotations

import re

SOFT_BREAK = b"=\r\n"

_LONGEST_PLAIN_VALUE = 75
_MOST_OCTETS_IN_A_LINE = _LONGEST_PLAIN_VALUE // 3

_PLAIN_VALUE = re.compile(rf"(?!\.|From )[ -<>-~]{{1,{_LONGEST_PLAIN_VALUE}}}")
_UNPRINTABLE = re.compile(r"[^\n\t -~]+")
_SPACE_AT_LINE_END = re.compile(r"[ \t]$", re.MULTILINE)
# 74 columns with the `=` at the end: a dot at the start may still grow to three. A cut is neither inside `=XX` nor
# before an octet that continues a character; the longest character takes 12 columns.
_ROW = re.compile(r".{1,74}\Z|.{58,73}(?<!=)(?<!=.)(?!=[89AB])")


def encode_quoted(text: str) -> bytes:
    """The text in lines of at most 76 columns; `\\n` becomes CRLF, and nothing is added at the end.

    Takes text as `mime.clean_text` leaves it. What follows must start on a line of its own: see `quote_piece`.
    """
    quoted = _UNPRINTABLE.sub(_quote_run, text.replace("=", "=3D"))
    quoted = _SPACE_AT_LINE_END.sub(lambda found: f"={ord(found[0]):02X}", quoted)
    lines = "\r\n".join([line if len(line) <= 74 else "=\r\n".join(_ROW.findall(line)) for line in quoted.split("\n")])
    lines = f"\r\n{lines}".replace("\r\n.", "\r\n=2E").replace("\r\nFrom ", "\r\n=46rom ")
    return lines[2:].encode("ascii")


def quote_piece(text: str) -> bytes:
    """A piece of a longer text in lines of its own: soft line breaks keep it together with what stands around it.

    Pieces joined in order decode to their texts joined. Takes text as `mime.clean_text` leaves it.
    """
    if _PLAIN_VALUE.fullmatch(text):
        return f"{text}=\r\n".encode("ascii")
    if not text:
        return b""
    octets = text.encode()
    if len(octets) <= _MOST_OCTETS_IN_A_LINE and "\n" not in text:
        return f"={octets.hex('=')}=\r\n".upper().encode("ascii")
    quoted = encode_quoted(text)
    return quoted if quoted.endswith(b"\n") else quoted + SOFT_BREAK


def _quote_run(found: re.Match[str]) -> str:
    return f"={found[0].encode().hex('=')}".upper()
