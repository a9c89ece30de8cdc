"""Marks stand in for merge tags while a source goes through Markdown and the mail's layout.

A mark is a number between two private-use characters. Markdown sees an ordinary word in it, HTML escaping and CSS
inlining leave it alone, and what it stands for is put back at the very end. Sources lose those characters first
(`clean_text`), so nobody can forge a mark.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from campaigns.compose.contexts import Context, clean_text
from campaigns.compose.merge import PlacedTag, Template, build_template
from campaigns.compose.merge_tags import (
    MergeError,
    ProblemKind,
    Tag,
    TagKind,
    find_problems,
    find_unknown_fields,
    problem_at,
    scan,
)

_OPEN_PLAIN: Final = "\ue000"
_OPEN_URL_PART: Final = "\ue001"
_OPEN_URL_WHOLE: Final = "\ue002"
_CLOSE: Final = "\ue003"
_MARK: Final = re.compile(f"([{_OPEN_PLAIN}{_OPEN_URL_PART}{_OPEN_URL_WHOLE}])(\\d+){_CLOSE}")
_TAG_OR_MARK: Final = re.compile(rf"<(?P<end>/?)(?P<name>[a-z][a-z0-9]*)\b[^>]*>|{_MARK.pattern}")
_VOID_ELEMENTS: Final = frozenset({"br", "hr", "img"})


class Marks:
    """The tags of one mail: hidden from its sources, put back into what was made of them."""

    def __init__(self, known_fields: Collection[str] | None = None) -> None:
        self._known_fields = known_fields
        self._tags: list[Tag] = []

    def hide(self, source: str) -> str:
        """Return a cleaned source with a mark for each tag.

        Raises MergeError naming every misspelt, unknown or wrongly nested tag.
        """
        parts = list(scan(clean_text(source)))
        problems = [*find_problems(parts), *find_unknown_fields(parts, self._known_fields)]
        if problems:
            raise MergeError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        return "".join(part if isinstance(part, str) else self._add(part) for part in parts)

    def add_address_field(self, name: str) -> str:
        """Return a mark for a field that the program fills itself, for a place inside an address."""
        return mark_inside_address(self._add(Tag(TagKind.FIELD, name, line=0, column=0, name=name)))

    def reveal(self, text: str, *, plain: Context, url_whole: Context) -> Template:
        """Return the template that `text` with marks stands for."""
        return build_template(self._parts(text, plain, url_whole))

    def check_nesting(self, html: str) -> None:
        """Check that every `if` ends in the element it began in, so that either branch leaves sound HTML.

        Raises MergeError.
        """
        open_elements: list[int] = []
        open_ifs: list[tuple[Tag, list[int]]] = []
        for number, found in enumerate(_TAG_OR_MARK.finditer(html)):
            if name := found["name"]:
                _follow_element(open_elements, number, name, is_end=bool(found["end"]))
            else:
                self._follow_if(open_ifs, open_elements, self._tag(found))

    def refuse_ifs(self, address: str) -> None:
        """Check that no `if` stands inside a link's address. Raises MergeError.

        Each branch would be another address, and only one of them could be checked.
        """
        tags = (self._tag(found) for found in _MARK.finditer(address))
        problems = [problem_at(tag, ProblemKind.IF_IN_LINK) for tag in tags if tag.kind is not TagKind.FIELD]
        if problems:
            raise MergeError(problems)

    def is_control(self, text: str) -> bool:
        """Return whether `text` holds nothing but `if`, `else` and `endif`."""
        found = list(_MARK.finditer(text))
        return bool(found) and not without_marks(text).strip() and all(self._is_control(match) for match in found)

    def _is_control(self, found: re.Match[str]) -> bool:
        return self._tag(found).kind is not TagKind.FIELD

    def _add(self, tag: Tag) -> str:
        self._tags.append(tag)
        return f"{_OPEN_PLAIN}{len(self._tags) - 1}{_CLOSE}"

    def _tag(self, found: re.Match[str]) -> Tag:
        return self._tags[int(found[found.lastindex or 0])]

    def _parts(self, text: str, plain: Context, url_whole: Context) -> Iterator[str | PlacedTag]:
        contexts = {_OPEN_PLAIN: plain, _OPEN_URL_PART: Context.URL_PART, _OPEN_URL_WHOLE: url_whole}
        position = 0
        for found in _MARK.finditer(text):
            yield text[position : found.start()]
            yield PlacedTag(self._tag(found), contexts[found[1]])
            position = found.end()
        yield text[position:]

    @staticmethod
    def _follow_if(open_ifs: list[tuple[Tag, list[int]]], open_elements: list[int], tag: Tag) -> None:
        if tag.kind is TagKind.IF:
            open_ifs.append((tag, list(open_elements)))
        elif tag.kind in {TagKind.ELSE, TagKind.END}:
            opened, elements = open_ifs[-1]
            if elements != open_elements:
                raise MergeError([problem_at(opened, ProblemKind.IF_CROSSES_BLOCKS)])
            if tag.kind is TagKind.END:
                open_ifs.pop()


def split_marks(text: str) -> list[str]:
    """Return plain pieces and marks in turn: pieces at even places, marks at odd ones."""
    return re.split(f"([{_OPEN_PLAIN}-{_OPEN_URL_WHOLE}]\\d+{_CLOSE})", text)


def without_marks(text: str) -> str:
    """Return the text without its marks."""
    return _MARK.sub("", text)


def mark_address(address: str) -> str:
    """Return a link's address whose marks say that they stand in an address, and whether they are all of its start."""
    if not address.startswith(_OPEN_PLAIN):
        return mark_inside_address(address)
    return _OPEN_URL_WHOLE + mark_inside_address(address[1:])


def mark_inside_address(address: str) -> str:
    """Return a piece of a link's address, not its start, whose marks say that they stand in an address."""
    return address.replace(_OPEN_PLAIN, _OPEN_URL_PART)


def _follow_element(open_elements: list[int], number: int, name: str, *, is_end: bool) -> None:
    if is_end:
        open_elements.pop()
    elif name not in _VOID_ELEMENTS:
        open_elements.append(number)
