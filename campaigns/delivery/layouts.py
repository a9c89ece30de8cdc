"""The ways a campaign's mail can turn out, each compiled once: which branch of every `if`, and where values go.

People whose fields are filled and blank alike share a layout; what differs between them is the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from campaigns.compose.contexts import WORDS, WRITERS, is_same_everywhere, write_value
from campaigns.compose.merge import OUTPUT_LIMIT_CHARACTERS, FieldSegment, Template
from campaigns.compose.rendering import CompiledContent
from campaigns.links import TOKEN_PLACE
from campaigns.mail.headers import text_header
from campaigns.mail.pieces import CompiledPart, Piece, compile_part, join_constants, stands_alone

# Each takes some hundred kilobytes, so that content with many an `if` cannot fill the memory.
LAYOUTS_KEPT = 64

TOKEN = 0
"""The index of the value that is the token of the unsubscribe link."""


class PlacedField(NamedTuple):
    """One field, and each place that its value goes to with what makes it safe there."""

    name: str
    default: str
    is_in_words: bool  # no place is in an address, so that most values are the same in all of them
    places: tuple[tuple[int, Callable[[str], str]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way the mail turns out. `fields` say what goes into the places from 1 on; 0 is `TOKEN`."""

    subject: tuple[Piece, ...]
    subject_header: bytes | None
    text: CompiledPart
    html: CompiledPart
    fields: tuple[PlacedField, ...]
    places: int
    longest_value: int

    def values(self, fields: Mapping[str, str], token: str) -> list[str] | None:
        """Return what goes into the places of one recipient's mail; None when it has to be encoded as a whole."""
        values = [token] * self.places
        for field in self.fields:
            value = fields.get(field.name, "")
            if not value.strip():
                value = field.default
            is_same = field.is_in_words and is_same_everywhere(value)
            for place, write in field.places:
                values[place] = written = value if is_same else write(value)
                if len(written) > self.longest_value or not (is_same or stands_alone(written)):
                    return None
        return values

    def write_subject(self, values: list[str]) -> bytes:
        """Return the Subject header. Raises HeaderError."""
        if self.subject_header is not None:
            return self.subject_header
        words = [values[piece] if isinstance(piece, int) else piece for piece in self.subject]
        return text_header("Subject", "".join(words))


class Layouts:
    """The layouts of one campaign, made when the first recipient needs them. Safe to use from several threads."""

    def __init__(
        self, content: CompiledContent, *, same_for_all: Mapping[str, str], unsubscribe_link: tuple[str, str]
    ) -> None:
        """Take the fields that are the same for all, and the unsubscribe link before and after its token."""
        templates = (content.subject, content.text, content.html)
        self._content = content
        self._constants = same_for_all
        self._link = unsubscribe_link
        self._chosen_by = sorted(frozenset[str]().union(*(template.fields_chosen_by for template in templates)))
        self._kept: dict[tuple[bool, ...], Layout | None] = {}

    def choose(self, fields: Mapping[str, str]) -> Layout | None:
        """Return the layout for one recipient's fields; None when their mail has to be encoded as a whole."""
        filled = tuple([bool(fields.get(name, "").strip()) for name in self._chosen_by])
        if filled not in self._kept:
            if len(self._kept) >= LAYOUTS_KEPT:
                return None
            self._kept[filled] = self._compile(fields)
        return self._kept[filled]

    def _compile(self, fields: Mapping[str, str]) -> Layout | None:
        places: dict[FieldSegment, int] = {}
        subject = self._pieces(self._content.subject, fields, places)
        texts = self._pieces(self._content.text, fields, places)
        htmls = self._pieces(self._content.html, fields, places)
        text, html = compile_part("plain", texts), compile_part("html", htmls)
        if text is None or html is None:
            return None
        is_same_for_all = not any(isinstance(piece, int) for piece in subject)
        return Layout(
            subject=tuple(subject),
            subject_header=text_header("Subject", "".join(map(str, subject))) if is_same_for_all else None,
            text=text,
            html=html,
            fields=tuple(_placed_fields(places)),
            places=len(places) + 1,
            longest_value=min(_longest_value(pieces) for pieces in (subject, texts, htmls)),
        )

    def _pieces(self, template: Template, fields: Mapping[str, str], places: dict[FieldSegment, int]) -> list[Piece]:
        return join_constants(self._resolve(template.flat(fields), places))

    def _resolve(self, segments: Iterable[str | FieldSegment], places: dict[FieldSegment, int]) -> Iterator[Piece]:
        for segment in segments:
            if isinstance(segment, str):
                yield segment
            elif segment.name in self._constants:
                yield segment.value(self._constants)
            elif segment.name == "unsubscribe_url":
                yield from self._link_pieces(segment, places)
            else:
                yield places.setdefault(segment, len(places) + 1)

    def _link_pieces(self, segment: FieldSegment, places: dict[FieldSegment, int]) -> Iterator[Piece]:
        """Give the link with a place for its token, which no context changes; wholly by place where this fails."""
        before, after = self._link
        written = write_value(f"{before}{TOKEN_PLACE}{after}", segment.context).split(TOKEN_PLACE)
        if len(written) == 2:
            yield from (written[0], TOKEN, written[1])
        else:
            yield places.setdefault(segment, len(places) + 1)


def _placed_fields(places: Mapping[FieldSegment, int]) -> Iterator[PlacedField]:
    """Give the fields with their places together, so that each value is looked up and looked at once."""
    for name, default in dict.fromkeys((segment.name, segment.default) for segment in places):
        own = {s.context: place for s, place in places.items() if (s.name, s.default) == (name, default)}
        writers = tuple((place, WRITERS[context]) for context, place in own.items())
        yield PlacedField(name, default, own.keys() <= WORDS, writers)


def _longest_value(pieces: list[Piece]) -> int:
    """Return the length up to which values cannot make the text too long; what might is rendered and counted."""
    constant = sum(len(piece) for piece in pieces if isinstance(piece, str))
    places = sum(isinstance(piece, int) for piece in pieces)
    return (OUTPUT_LIMIT_CHARACTERS - constant) // max(1, places)
