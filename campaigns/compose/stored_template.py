"""Templates as JSON: a string is itself, a list is a field or a choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from campaigns.compose.contexts import Context
from campaigns.compose.merge import ChoiceSegment, FieldSegment, Segment, Template


def template_to_json(template: Template) -> list[Any]:
    """Return a template as lists and strings."""
    return [_segment_to_json(segment) for segment in template.segments]


def template_from_json(stored: Sequence[Any]) -> Template:
    """Return the template that `template_to_json` stored. Raises ValueError for anything else."""
    return Template(tuple(_segment_from_json(segment) for segment in stored))


def _segment_to_json(segment: Segment) -> Any:
    if isinstance(segment, str):
        return segment
    if isinstance(segment, FieldSegment):
        return ["field", segment.name, segment.default, segment.context.value]
    return ["if", segment.name, *([_segment_to_json(inner) for inner in branch] for branch in _branches(segment))]


def _segment_from_json(stored: Any) -> Segment:
    if isinstance(stored, str):
        return stored
    kind, name, *rest = stored
    if kind == "field":
        return FieldSegment(name, rest[0], Context(rest[1]))
    if kind == "if":
        then, otherwise = (tuple(_segment_from_json(inner) for inner in branch) for branch in rest)
        return ChoiceSegment(name, then, otherwise)
    raise ValueError(f"unknown segment {kind!r}")


def _branches(choice: ChoiceSegment) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    return choice.then, choice.otherwise
