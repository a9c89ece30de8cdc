"""The Markdown of announcements: CommonMark without HTML, and a few things that writers of mail expect.

- A line end is a line break.
- `**bold**` ends before a Korean particle even after a bracket or a quotation mark: `**(새 기능)**을`.
- A bare https:// address becomes a link.
- `[Text](https://…){.button}` alone in a paragraph becomes a button.
- An `{% if %}`, `{% else %}` or `{% endif %}` alone on its line is a block of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import mdurl
from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline.state_inline import Delimiter, Scanned, StateInline
from markdown_it.token import Token

from campaigns.compose.marks import Marks, mark_address, split_marks, without_marks

ALLOWED_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel"})
BUTTON_SUFFIX: Final = "{.button}"


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """The Markdown tokens of a body, and what the checks want to know of it."""

    tokens: tuple[Token, ...]
    link_addresses: tuple[str, ...]
    images_without_alt: tuple[str, ...]
    refused_addresses: tuple[str, ...]
    has_words: bool


def parse_body(source: str, marks: Marks) -> ParsedBody:
    """Parse a body with merge tags. Raises MergeError."""
    parser = _MailMarkdown()
    tokens = parser.parse(_set_control_lines_apart(marks.hide(source), marks))
    for token in tokens:
        if token.type == "inline":
            _finish_inline(token, marks)
    _find_buttons(tokens)
    inline = [child for token in tokens for child in token.children or ()]
    images = [child for child in inline if child.type == "image"]
    return ParsedBody(
        tokens=tuple(tokens),
        link_addresses=tuple(str(child.attrs["href"]) for child in inline if child.type == "link_open"),
        images_without_alt=tuple(str(image.attrs["src"]) for image in images if not image.content.strip()),
        refused_addresses=tuple(parser.refused_addresses),
        has_words=any(child.content.strip() for child in inline if child.type != "image"),
    )


class _MailMarkdown(MarkdownIt):
    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "breaks": True})
        self.enable(["table", "strikethrough"])
        self.inline.ruler.at("emphasis", _scan_emphasis)
        self.refused_addresses: list[str] = []

    def normalizeLink(self, url: str) -> str:
        """Percent-encode an address, but not the marks in it."""
        return _normalize_address(url)

    def normalizeLinkText(self, url: str) -> str:
        """Show an address as it was written."""
        return url

    def validateLink(self, url: str) -> bool:
        """Tell whether a mail may link to an address; one that it may not is shown as text."""
        # What a field adds is checked when it is written; here the constant part must be harmless alone.
        literal = without_marks(url)
        scheme = re.match(r"([^/?#]*?):", literal)
        if scheme is None or scheme[1].lower() in ALLOWED_SCHEMES:
            return True
        self.refused_addresses.append(literal)
        return False


def _normalize_address(address: str) -> str:
    pieces = split_marks(address)
    if len(pieces) == 1:
        return normalizeLink(address)
    return "".join(piece if number % 2 else mdurl.encode(piece) for number, piece in enumerate(pieces))


def _set_control_lines_apart(source: str, marks: Marks) -> str:
    lines: list[str] = []
    for line in source.split("\n"):
        lines += ["", line, ""] if marks.is_control(line) else [line]
    return "\n".join(lines)


def _finish_inline(token: Token, marks: Marks) -> None:
    token.children = _link_bare_addresses(token.children or [])
    for child in token.children:
        for name in ("href", "src"):
            if name in child.attrs:
                address = str(child.attrs[name])
                marks.refuse_ifs(address)
                child.attrs[name] = mark_address(address)


def _link_bare_addresses(children: list[Token]) -> list[Token]:
    linked: list[Token] = []
    depth = 0
    for child in children:
        depth += child.nesting if child.type in {"link_open", "link_close"} else 0
        linked += _split_addresses(child) if child.type == "text" and not depth else [child]
    return linked


def _split_addresses(text: Token) -> list[Token]:
    pieces: list[Token] = []
    for number, piece in enumerate(_BARE_ADDRESS.split(text.content)):
        if number % 2 == 0:
            pieces += [_text(piece)] if piece else []
        else:
            opening = Token("link_open", "a", 1, attrs={"href": _normalize_address(piece)})
            pieces += [opening, _text(piece), Token("link_close", "a", -1)]
    return pieces


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _find_buttons(tokens: list[Token]) -> None:
    for position, token in enumerate(tokens):
        if token.type != "paragraph_open":
            continue
        children = tokens[position + 1].children or []
        types = [child.type for child in children]
        ends_as_button = bool(children) and children[-1].content.strip() == BUTTON_SUFFIX
        is_one_link = types[:1] == ["link_open"] and types[-2:] == ["link_close", "text"]
        if ends_as_button and is_one_link and types.count("link_open") == 1:
            children.pop()
            token.meta["button"] = True


def _scan_emphasis(state: StateInline, silent: bool) -> bool:
    """Push `*` and `_` as delimiters, letting them open or close beside Korean letters.

    CommonMark takes a closing `**` between punctuation and a letter for an opening one. English never writes that;
    Korean does all the time, since particles follow a word without a space.
    """
    marker = state.src[state.pos]
    if silent or marker not in "_*":
        return False
    scanned = _beside_korean(state, state.scanDelims(state.pos, marker == "*")) if marker == "*" else None
    scanned = scanned or state.scanDelims(state.pos, False)
    for _ in range(scanned.length):
        state.push("text", "", 0).content = marker
        state.delimiters.append(
            Delimiter(
                marker=ord(marker),
                length=scanned.length,
                token=len(state.tokens) - 1,
                end=-1,
                open=scanned.can_open,
                close=scanned.can_close,
            )
        )
    state.pos += scanned.length
    return True


def _beside_korean(state: StateInline, scanned: Scanned) -> Scanned:
    before = state.src[state.pos - 1] if state.pos else " "
    after_position = state.pos + scanned.length
    after = state.src[after_position] if after_position < state.posMax else " "
    closes = _is_punctuation(before) and bool(_EAST_ASIAN.match(after))
    opens = _is_punctuation(after) and bool(_EAST_ASIAN.match(before))
    spaced = isWhiteSpace(ord(before)) or isWhiteSpace(ord(after))
    if spaced or not (opens or closes):
        return scanned
    return Scanned(scanned.can_open or opens, scanned.can_close or closes, scanned.length)


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


_EAST_ASIAN: Final = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3]")
# Trailing punctuation belongs to the sentence; Korean particles stick to the address, so non-ASCII ends it.
_BARE_ADDRESS: Final = re.compile(
    "(https?://(?:[\ue000-\ue003]|[!#-;=?-Z_a-z~%\\[\\]@])*(?:[\ue003]|[#-&*+\\-/-9=@-Z_a-z~%]))"
)
