"""Merge fields: a small grammar over a flat dictionary of strings.

    {{ name }}                              the field's value
    {{ name | default: "friend" }}          another text when the value is missing or blank
    {{ name | default("friend") }}          the same
    {% if company %} … {% else %} … {% endif %}
    \\{{                                     two plain braces

There are no expressions, loops, attributes or calls, so a template can do nothing but
choose and join strings: an editor cannot reach the server's data through it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from campaigns.compose.contexts import Context, clean_line, clean_text, write_value
from campaigns.compose.merge_tags import MergeError, Tag, TagKind, find_problems, find_unknown_fields, scan

OUTPUT_LIMIT_CHARACTERS: Final = 1_000_000


class OutputTooLong(ValueError):
    """The rendered text passed OUTPUT_LIMIT_CHARACTERS."""


@dataclass(frozen=True, slots=True)
class FieldSegment:
    """A place that one recipient's value goes into."""

    name: str
    default: str
    context: Context

    def value(self, fields: Mapping[str, str]) -> str:
        """Return the escaped value of the field, or its escaped default when the value is blank."""
        value = fields.get(self.name, "")
        return write_value(value if value.strip() else self.default, self.context)


@dataclass(frozen=True, slots=True)
class ChoiceSegment:
    """Two branches, of which one is written: `then` when the field has a value."""

    name: str
    then: tuple[Segment, ...]
    otherwise: tuple[Segment, ...]

    def chosen(self, fields: Mapping[str, str]) -> tuple[Segment, ...]:
        """Return the segments of the branch that this recipient gets."""
        return self.then if fields.get(self.name, "").strip() else self.otherwise


Segment = str | FieldSegment | ChoiceSegment


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: constant pieces, fields and choices, in order.

    Made once per campaign; rendering one recipient is a look-up per field and one join.
    """

    segments: tuple[Segment, ...]

    def render(self, fields: Mapping[str, str]) -> str:
        """Return the text for one recipient. Raises OutputTooLong."""
        text = "".join(_pieces(self.segments, fields))
        if len(text) > OUTPUT_LIMIT_CHARACTERS:
            raise OutputTooLong(f"{len(text)} characters, {OUTPUT_LIMIT_CHARACTERS} are allowed")
        return text

    def flat(self, fields: Mapping[str, str]) -> tuple[str | FieldSegment, ...]:
        """Return the segments of one recipient in order, choices made: rendering is writing their fields and joining.

        It is the same for all whose `fields_chosen_by` are filled and blank alike.
        """
        return tuple(_flat(self.segments, fields))

    @property
    def fields_chosen_by(self) -> frozenset[str]:
        """Return the names of the fields that the text asks about."""
        return frozenset(_names_chosen_by(self.segments))

    @property
    def fields_used(self) -> frozenset[str]:
        """Return the names of all fields that the text prints or asks about."""
        return frozenset(_names_used(self.segments))

    @property
    def fields_without_default(self) -> frozenset[str]:
        """Return the printed fields that leave a gap when the value is missing.

        A field with a default, and a field inside an `if` about itself, leave none.
        """
        return frozenset(_names_leaving_a_gap(self.segments, guarded=frozenset()))


def parse(source: str, context: Context, known_fields: Collection[str] | None = None) -> Template:
    """Parse a text without Markdown, such as a subject, for one context.

    Raises MergeError; a field outside `known_fields` is a mistake unless that is None.
    """
    tidy = clean_line if context is Context.HEADER else clean_text
    parts = list(scan(tidy(source)))
    problems = [*find_problems(parts), *find_unknown_fields(parts, known_fields)]
    if problems:
        raise MergeError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return build_template(_in_context(part, context) for part in parts)


@dataclass(frozen=True, slots=True)
class PlacedTag:
    """A tag, and the context that its value is to be written for."""

    tag: Tag
    context: Context


def build_template(parts: Iterable[str | PlacedTag]) -> Template:
    """Build a template of parts whose tags are known to nest rightly."""
    levels: list[_Level] = [_Level("", [], [])]
    for part in parts:
        if isinstance(part, str):
            levels[-1].add(part)
        elif part.tag.kind is TagKind.FIELD:
            levels[-1].add(FieldSegment(part.tag.name, part.tag.default, part.context))
        elif part.tag.kind is TagKind.IF:
            levels.append(_Level(part.tag.name, [], []))
        elif part.tag.kind is TagKind.ELSE:
            levels[-1].in_else = True
        else:
            closed = levels.pop()
            levels[-1].add(ChoiceSegment(closed.name, tuple(closed.then), tuple(closed.otherwise)))
    return Template(tuple(levels[0].then))


@dataclass(slots=True)
class _Level:
    name: str
    then: list[Segment]
    otherwise: list[Segment]
    in_else: bool = False

    def add(self, segment: Segment) -> None:
        branch = self.otherwise if self.in_else else self.then
        if isinstance(segment, str) and branch and isinstance(branch[-1], str):
            branch[-1] += segment
        elif segment != "":
            branch.append(segment)


def _in_context(part: str | Tag, context: Context) -> str | PlacedTag:
    if isinstance(part, Tag):
        return PlacedTag(part, context)
    # Constant pieces of HTML are escaped here; a caller with markup of its own builds the template itself.
    return write_value(part, context) if context is Context.HTML else part


def _pieces(segments: tuple[Segment, ...], fields: Mapping[str, str]) -> Iterator[str]:
    for segment in _flat(segments, fields):
        yield segment if isinstance(segment, str) else segment.value(fields)


def _flat(segments: tuple[Segment, ...], fields: Mapping[str, str]) -> Iterator[str | FieldSegment]:
    for segment in segments:
        if isinstance(segment, ChoiceSegment):
            yield from _flat(segment.chosen(fields), fields)
        else:
            yield segment


def _names_chosen_by(segments: tuple[Segment, ...]) -> Iterator[str]:
    for segment in segments:
        if isinstance(segment, ChoiceSegment):
            yield segment.name
            yield from _names_chosen_by(segment.then + segment.otherwise)


def _names_used(segments: tuple[Segment, ...]) -> Iterator[str]:
    for segment in segments:
        if isinstance(segment, str):
            continue
        yield segment.name
        if isinstance(segment, ChoiceSegment):
            yield from _names_used(segment.then + segment.otherwise)


def _names_leaving_a_gap(segments: tuple[Segment, ...], guarded: frozenset[str]) -> Iterator[str]:
    for segment in segments:
        if isinstance(segment, FieldSegment) and not segment.default and segment.name not in guarded:
            yield segment.name
        elif isinstance(segment, ChoiceSegment):
            yield from _names_leaving_a_gap(segment.then, guarded | {segment.name})
            yield from _names_leaving_a_gap(segment.otherwise, guarded)
