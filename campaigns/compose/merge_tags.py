"""The tags of the merge grammar as they are written, and the mistakes that can be made in writing them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

MOST_PROBLEMS: Final = 50


class ProblemKind(StrEnum):
    """What can be wrong with a template."""

    BAD_FIELD = "bad-field"
    BAD_TAG = "bad-tag"
    UNCLOSED_BRACES = "unclosed-braces"
    UNKNOWN_FIELD = "unknown-field"
    IF_WITHOUT_END = "if-without-end"
    END_WITHOUT_IF = "end-without-if"
    SECOND_ELSE = "second-else"
    IF_CROSSES_BLOCKS = "if-crosses-blocks"
    IF_IN_LINK = "if-in-link"


@dataclass(frozen=True, slots=True)
class MergeProblem:
    """One mistake: where it is (both counted from 1), what was written, and the nearest known field."""

    kind: ProblemKind
    line: int
    column: int
    written: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f", did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"line {self.line}, column {self.column}: {self.kind.value} {self.written!r}{hint}"


class MergeError(ValueError):
    """A template that cannot be used; `problems` holds every mistake found, in reading order."""

    def __init__(self, problems: Iterable[MergeProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class TagKind(StrEnum):
    """The tags of the grammar."""

    FIELD = "field"
    IF = "if"
    ELSE = "else"
    END = "endif"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag as written in the source, with its place."""

    kind: TagKind
    written: str
    line: int
    column: int
    name: str = ""
    default: str = ""
    problem: ProblemKind | None = None


def scan(source: str) -> Iterator[str | Tag]:
    """Yield the plain pieces and the tags of a source in order; never raises.

    After MOST_PROBLEMS unreadable tags the rest counts as plain text: nobody reads a longer list of mistakes.
    """
    position, unreadable = 0, 0
    place = _Place()
    while unreadable < MOST_PROBLEMS and (opening := _OPENING.search(source, position)):
        yield source[position : opening.start()]
        if opening.group().startswith("\\"):
            yield opening.group()[1:]
            position = opening.end()
            continue
        place = place.moved_to(source, opening.start())
        tag = _read_tag(source, place)
        yield tag
        unreadable += tag.problem is not None
        position = place.position + len(tag.written)
    yield source[position:]


def find_problems(parts: Iterable[str | Tag]) -> list[MergeProblem]:
    """Return the mistakes of spelling and nesting among the parts of one source."""
    problems: list[MergeProblem] = []
    open_ifs: list[tuple[Tag, bool]] = []
    for tag in parts:
        if isinstance(tag, str):
            continue
        if tag.problem:
            problems.append(problem_at(tag, tag.problem))
        elif tag.kind is TagKind.IF:
            open_ifs.append((tag, False))
        elif tag.kind in {TagKind.ELSE, TagKind.END} and not open_ifs:
            problems.append(problem_at(tag, ProblemKind.END_WITHOUT_IF))
        elif tag.kind is TagKind.ELSE:
            opened, has_else = open_ifs.pop()
            if has_else:
                problems.append(problem_at(tag, ProblemKind.SECOND_ELSE))
            open_ifs.append((opened, True))
        elif tag.kind is TagKind.END:
            open_ifs.pop()
    problems += [problem_at(opened, ProblemKind.IF_WITHOUT_END) for opened, _ in open_ifs]
    return problems


def find_unknown_fields(parts: Iterable[str | Tag], known_fields: Collection[str] | None) -> list[MergeProblem]:
    """Return a problem for each tag that names a field outside `known_fields`."""
    if known_fields is None:
        return []
    return [
        problem_at(tag, ProblemKind.UNKNOWN_FIELD, suggest_field(tag.name, known_fields))
        for tag in parts
        if isinstance(tag, Tag) and tag.name and tag.name not in known_fields
    ]


def problem_at(tag: Tag, kind: ProblemKind, suggestion: str | None = None) -> MergeProblem:
    """Return a problem placed at a tag."""
    return MergeProblem(kind, tag.line, tag.column, tag.name or tag.written, suggestion)


def suggest_field(name: str, known_fields: Collection[str]) -> str | None:
    """Return the known field that `name` was most likely meant to be."""
    folded = {known.casefold(): known for known in sorted(known_fields)}
    meant = _OTHER_NAMES.get(name.casefold(), name.casefold())
    near = get_close_matches(meant, folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in a source with its line and column, moved forward so that nothing is counted twice."""

    position: int = 0
    line: int = 1
    column: int = 1

    def moved_to(self, source: str, position: int) -> _Place:
        breaks = source.count("\n", self.position, position)
        if not breaks:
            return _Place(position, self.line, self.column + position - self.position)
        return _Place(position, self.line + breaks, position - source.rfind("\n", self.position, position))


def _read_tag(source: str, place: _Place) -> Tag:
    start, line, column = place.position, place.line, place.column
    if match := _FIELD.match(source, start):
        quoted = match["colon"] or match["call"]
        return Tag(TagKind.FIELD, match.group(), line, column, match["name"], quoted[1:-1] if quoted else "")
    if match := _CONTROL.match(source, start):
        kind = {"else": TagKind.ELSE, "endif": TagKind.END}.get(match["word"], TagKind.IF)
        return Tag(kind, match.group(), line, column, match["name"] or "")
    return _read_bad_tag(source, place)


def _read_bad_tag(source: str, place: _Place) -> Tag:
    start, line, column = place.position, place.line, place.column
    is_field = source.startswith("{{", start)
    closing = (_FIELD_REST if is_field else _CONTROL_REST).match(source, start)
    if closing is None:
        return Tag(TagKind.BAD, source[start : start + 2], line, column, problem=ProblemKind.UNCLOSED_BRACES)
    kind = ProblemKind.BAD_FIELD if is_field else ProblemKind.BAD_TAG
    return Tag(TagKind.BAD, closing.group(), line, column, problem=kind)


_OPENING: Final = re.compile(r"\\?\{[{%]")
_FIELD_REST: Final = re.compile(r"[^\n]*?(?:\}\}|%\})")
_CONTROL_REST: Final = re.compile(r"[^\n]*?%\}")
_SPACE = r"[^\S\n]*"
_NAME = r"[^\W\d][\w.-]*"
# People paste from word processors, which turn straight quotation marks into curly ones.
_QUOTED = r"(?:\"[^\"\n]*\"|'[^'\n]*'|“[^”\n]*”|‘[^’\n]*’)"
_FIELD: Final = re.compile(
    rf"\{{\{{{_SPACE}(?P<name>{_NAME}){_SPACE}"
    rf"(?:\|{_SPACE}default{_SPACE}(?::{_SPACE}(?P<colon>{_QUOTED})|\({_SPACE}(?P<call>{_QUOTED}){_SPACE}\)){_SPACE})?"
    r"\}\}"
)
_CONTROL: Final = re.compile(rf"\{{%{_SPACE}(?:(?P<word>else|endif)|if[^\S\n]+(?P<name>{_NAME})){_SPACE}%\}}")
# What other mail tools, and Korean writers, call the same things.
_OTHER_NAMES: Final = {
    "이름": "name",
    "성명": "name",
    "고객명": "name",
    "first_name": "name",
    "firstname": "name",
    "fullname": "name",
    "이메일": "email",
    "메일": "email",
    "메일주소": "email",
    "mail": "email",
    "언어": "language",
    "lang": "language",
    "수신거부": "unsubscribe_url",
    "unsubscribe": "unsubscribe_url",
}
