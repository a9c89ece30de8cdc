"""Parts of a mail for many: what is the same for all is encoded once, one recipient costs their own values and a join.

A part is constant text with places for values. The constant pieces are kept in the transfer encoding, ready to be
joined with encoded values:

- base64 works in groups of three octets, so each constant piece is kept three times, once for each number of octets
  that the piece before may leave over. Lines may be shorter than 76 columns, only `=` may not stand in the middle
  (RFC 2045 §6.8).
- quoted-printable may break a line softly at any place, so every piece has lines of its own (RFC 2045 §6.7).

Neither has a line that starts with a dot, so a part is in its wire form from the start.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from campaigns.mail.addresses import ascii_domain
from campaigns.mail.mime import Subtype, TransferEncoding, choose_encoding, clean_text, fold_base64, part_head
from campaigns.mail.quoted_printable import encode_quoted, quote_piece

Piece = str | int
"""Constant text, or the index of the value that goes there."""

# Shorter constant text is encoded with the values beside it: a line of its own would cost more than it saves.
SHORT_CHARACTERS = 16
ONE_LINE_OCTETS = 57

# Letters that compose with the one before: vowels and final consonants of Hangul, and vowels of Kirat Rai.
_JOINING_LETTER = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff\U00016d40-\U00016d7f]")

_Run = int | tuple[Piece, ...]
_Aligned = tuple[bytes, bytes, bytes]


class CompiledPart(Protocol):
    """One text part of a mail, ready for values."""

    def write(self, values: Sequence[str]) -> list[bytes]:
        """The part as bytes to join: header lines, body, CRLF at the end; no line starts with a dot.

        Each value must be as `mime.clean_text` leaves it, and `stands_alone`.
        """
        ...


def compile_part(subtype: Subtype, pieces: Iterable[Piece]) -> CompiledPart | None:
    """A part of constant text and places for values, encoded the way that suits its constant text.

    None when a piece cannot be encoded apart from its neighbours: a value at the very end, or constant text after a
    value that does not stand alone. Use `encode_part` with the whole text then.
    """
    tidy = _tidy(pieces)
    if tidy is None:
        return None
    constant = "".join(piece for piece in tidy if isinstance(piece, str))
    first, steps = _steps(tidy)
    if choose_encoding(constant) is TransferEncoding.BASE64:
        return _base64_part(subtype, first, steps)
    return _quoted_part(subtype, first, steps)


def encode_part(subtype: Subtype, text: str) -> bytes:
    """A part of one whole text, as `CompiledPart.write` gives it: no line starts with a dot."""
    part = compile_part(subtype, [text])
    assert part is not None
    return b"".join(part.write(()))


def stands_alone(text: str) -> bool:
    """Whether composing (NFC) never joins the start of the text, which is composed itself, to what is before it.

    True for all that starts with no combining mark and no lone Hangul vowel or final consonant.
    """
    # The first character alone decides, and nearly all values start in one of these two ranges.
    if text < "\u0300" or "가" <= text < "\ud7a4":
        return True
    return unicodedata.category(text[0])[0] != "M" and not _JOINING_LETTER.match(text)


class MessageIds:
    """`mime.message_id` for many mails that share all parts but the last."""

    def __init__(self, key: bytes, *parts: object, domain: str) -> None:
        self._digest = blake2b(key=key, digest_size=20, person=b"message-id")
        for part in parts:
            self._digest.update(_framed(part))
        self._end = f"@{ascii_domain(domain)}>"

    def make(self, last_part: object) -> str:
        """What `message_id(key, *parts, last_part, domain=domain)` gives."""
        digest = self._digest.copy()
        digest.update(_framed(last_part))
        return f"<{digest.hexdigest()}{self._end}"


def _framed(part: object) -> bytes:
    data = str(part).encode()
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True, slots=True)
class _Base64Part:
    """`carried` are the octets of the first piece that its lines leave over.

    A step is a run of values, and the constant text after it for 0, 1 and 2 octets left over by the run: the octets
    that fill its last group, the encoded lines, the octets left over again.
    """

    start: bytes
    carried: bytes
    steps: tuple[tuple[_Run, tuple[_Aligned, _Aligned, _Aligned]], ...]

    def write(self, values: Sequence[str]) -> list[bytes]:
        written = [self.start]
        carried = self.carried
        for run, aligned in self.steps:
            text = values[run] if isinstance(run, int) else _text_of(run, values)
            data = carried + text.replace("\n", "\r\n").encode()
            head, lines, carried = aligned[len(data) % 3]
            data += head
            if len(data) <= ONE_LINE_OCTETS:
                written.append(b2a_base64(data, newline=False))
                written.append(lines if data else lines[2:])
            else:
                written.append(fold_base64(data))
                written.append(lines[2:])
        return written


@dataclass(frozen=True, slots=True)
class _QuotedPart:
    """A step is a run of values, and the encoded constant text after it."""

    start: bytes
    steps: tuple[tuple[_Run, bytes], ...]

    def write(self, values: Sequence[str]) -> list[bytes]:
        written = [self.start]
        for run, lines in self.steps:
            written.append(quote_piece(values[run] if isinstance(run, int) else _text_of(run, values)))
            written.append(lines)
        return written


def _text_of(run: tuple[Piece, ...], values: Sequence[str]) -> str:
    return "".join([values[piece] if isinstance(piece, int) else piece for piece in run])


def _tidy(pieces: Iterable[Piece]) -> list[Piece] | None:
    """The pieces without empty and adjacent constant ones, cleaned, the last ended by a line break."""
    joined = join_constants(pieces)
    tidy: list[Piece] = []
    for piece in joined:
        text = clean_text(piece) if isinstance(piece, str) else ""
        if tidy and not stands_alone(text):
            return None
        if text or isinstance(piece, int):
            tidy.append(text or piece)
    last = tidy.pop() if tidy else ""
    if isinstance(last, int) or not _breaks_stay(joined):
        return None
    return [*tidy, last if last.endswith("\n") else f"{last}\n"]


def join_constants(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces with neighbouring constant text made one, and none empty."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return joined


def _breaks_stay(pieces: Sequence[Piece]) -> bool:
    """Whether no CR ends a constant piece: with a value that starts with LF it would be one line break, not two."""
    return not any(isinstance(piece, str) and piece.endswith("\r") for piece in pieces[:-1])


def _steps(pieces: Sequence[Piece]) -> tuple[str, list[tuple[_Run, str]]]:
    """The constant text before the first value, and then runs of values, each with the constant text after it."""
    first = pieces[0] if isinstance(pieces[0], str) else ""
    steps: list[tuple[_Run, str]] = []
    run: list[Piece] = []
    rest = pieces[1:] if first else pieces
    for number, piece in enumerate(rest, start=1):
        if isinstance(piece, str) and (len(piece) >= SHORT_CHARACTERS or number == len(rest)):
            steps.append((run[0] if len(run) == 1 and isinstance(run[0], int) else tuple(run), piece))
            run = []
        else:
            run.append(piece)
    return first, steps


def _base64_part(subtype: Subtype, first: str, steps: Sequence[tuple[_Run, str]]) -> _Base64Part:
    _head, lines, carried = _align(first, 0, is_last=not steps)
    compiled = tuple(
        (run, _align_thrice(text, is_last=number == len(steps))) for number, (run, text) in enumerate(steps, start=1)
    )
    return _Base64Part(part_head(subtype, TransferEncoding.BASE64) + lines[2:], carried, compiled)


def _align_thrice(text: str, *, is_last: bool) -> tuple[_Aligned, _Aligned, _Aligned]:
    """Constant text for a run that leaves over no octet, one, and two."""
    return _align(text, 0, is_last=is_last), _align(text, 2, is_last=is_last), _align(text, 1, is_last=is_last)


def _align(text: str, missing: int, *, is_last: bool) -> _Aligned:
    """Constant text for a place where `missing` octets fill a group of three; the last text leaves nothing over."""
    data = text.replace("\n", "\r\n").encode()
    head, rest = data[:missing], data[missing:]
    end = len(rest) if is_last else len(rest) // 3 * 3
    return head, b"\r\n" + fold_base64(rest[:end]), rest[end:]


def _quoted_part(subtype: Subtype, first: str, steps: Sequence[tuple[_Run, str]]) -> _QuotedPart:
    start = part_head(subtype, TransferEncoding.QUOTED_PRINTABLE)
    if not steps:
        return _QuotedPart(start + encode_quoted(first), ())
    return _QuotedPart(start + quote_piece(first), tuple((run, quote_piece(text)) for run, text in steps))
