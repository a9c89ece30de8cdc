"""A parsed body as plain text: the same words and every link, for people and programs that read no HTML."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from markdown_it.tree import SyntaxTreeNode

from campaigns.compose.markdown import ParsedBody
from campaigns.compose.marks import Marks, without_marks


def write_text(body: ParsedBody, marks: Marks) -> str:
    """Return the body's plain text, with marks still in it."""
    return _blocks(SyntaxTreeNode(body.tokens).children, marks).strip("\n")


def _blocks(nodes: Sequence[SyntaxTreeNode], marks: Marks) -> str:
    return "".join(_block(node, marks) for node in nodes)


def _block(node: SyntaxTreeNode, marks: Marks) -> str:
    if node.type == "paragraph":
        text = _inline(node)
        return text if marks.is_control(text) else f"{_button(node) or text}\n\n"
    if node.type == "heading":
        return f"{_heading(node)}\n\n"
    if node.type == "blockquote":
        return textwrap.indent(_blocks(node.children, marks).rstrip("\n"), "> ", lambda _line: True) + "\n\n"
    if node.type in {"bullet_list", "ordered_list"}:
        return _list(node, marks) + "\n"
    if node.type in {"fence", "code_block"}:
        return textwrap.indent(node.content, "    ") + "\n"
    if node.type == "table":
        return _table(node) + "\n\n"
    if node.type == "hr":
        return "-" * 24 + "\n\n"
    return _blocks(node.children, marks)


def _heading(node: SyntaxTreeNode) -> str:
    text = _inline(node)
    underline = {"h1": "=", "h2": "-"}.get(node.tag, "")
    return f"{text}\n{underline * _display_width(without_marks(text))}".rstrip("\n")


def _button(node: SyntaxTreeNode) -> str:
    if not node.meta.get("button"):
        return ""
    link = node.children[0].children[0]
    return f"{_inline_all(link.children)}:\n{link.attrs['href']}"


def _list(node: SyntaxTreeNode, marks: Marks) -> str:
    first_number = int(node.attrs.get("start", 1))
    lines = []
    for offset, item in enumerate(node.children):
        bullet = f"{first_number + offset}. " if node.type == "ordered_list" else "- "
        text = _blocks(item.children, marks).strip("\n").replace("\n\n", "\n")
        lines.append(bullet + textwrap.indent(text, " " * len(bullet))[len(bullet) :])
    return "\n".join(lines) + "\n"


def _table(node: SyntaxTreeNode) -> str:
    rows = [row for part in node.children for row in part.children]
    return "\n".join(" | ".join(_inline(cell) for cell in row.children) for row in rows)


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(_inline_all(child.children) for child in node.children)


def _inline_all(nodes: Sequence[SyntaxTreeNode]) -> str:
    return "".join(_INLINE.get(node.type, _content)(node) for node in nodes)


def _content(node: SyntaxTreeNode) -> str:
    return _inline_all(node.children) if node.children else node.content


def _link(node: SyntaxTreeNode) -> str:
    address = str(node.attrs["href"])
    text = _inline_all(node.children)
    if without_marks(text) == without_marks(address).removeprefix("mailto:"):
        return address.removeprefix("mailto:")
    return f"{text} ({address})"


def _image(node: SyntaxTreeNode) -> str:
    return f"[{node.content}]" if node.content else ""


def _display_width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


_INLINE: Final[dict[str, Callable[[SyntaxTreeNode], str]]] = {
    "link": _link,
    "image": _image,
    "softbreak": lambda _node: "\n",
    "hardbreak": lambda _node: "\n",
}
