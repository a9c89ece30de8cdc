"""A rendered mail as the composer's frame shows it. The frame has its own address, its own policy and no scripts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Final

# The composer's frame is narrower than a computer's window; only on a phone does it take the phone's layout anyway.
NARROW_FRAME_QUERY: Final = "@media (max-width: 380px)"


class PreviewView(StrEnum):
    """The ways to look at a mail."""

    DESKTOP = "desktop"
    PHONE = "phone"
    DARK = "dark"
    TEXT = "text"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class InboxLine:
    """What an inbox shows of a mail before it is opened."""

    sender: str
    subject: str
    preheader: str


def show_html(html: str, *, dark: bool = False, phone: bool = False) -> str:
    """Return the mail's HTML with links opening outside the frame, in one colour scheme and one layout.

    A frame takes the scheme from the operating system and its width from the page, so the media queries are rewritten.
    """
    chosen = _DARK_QUERY.sub("@media all" if dark else "@media not all", html)
    chosen = _PHONE_QUERY.sub("@media all" if phone else NARROW_FRAME_QUERY, chosen)
    chosen = chosen.replace("color-scheme: light dark", "color-scheme: " + ("dark" if dark else "light"))
    return chosen.replace("<head>", '<head><base target="_blank">', 1)


def show_inbox_line(page: str, line: InboxLine, *, scheme: str = "light dark") -> str:
    """Return a page for the frame with what an inbox shows of the mail above it, in one colour scheme or the reader's.

    In the frame it is as new as the rest of the preview; its looks and the mail's touch nothing of each other.
    """
    rows = (("font-weight:700", line.sender), ("", line.subject or "—"), ("opacity:.8", line.preheader))
    shown = "".join(f'<div style="{_INBOX_ROW}{style}">{escape(words)}</div>' for style, words in rows)
    block = f'<div class="inbox-line" aria-hidden="true" style="{_INBOX_LINE}color-scheme:{scheme}">{shown}</div>'
    return _BODY.sub(lambda found: found.group() + block, page, count=1)


def show_plain(text: str, *, language: str, title: str) -> str:
    """Return plain text as a page for the frame."""
    return _PAGE.format(language=escape(language), title=escape(title), content=f"<pre>{escape(text)}</pre>")


def show_problems(sentences: list[str], *, language: str, title: str) -> str:
    """Return a page for the frame that says why there is nothing to show."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    content = f'<div class="problems"><h1>{escape(title)}</h1><ul>{items}</ul></div>'
    return _PAGE.format(language=escape(language), title=escape(title), content=content)


_DARK_QUERY: Final = re.compile(r"@media\s*\(prefers-color-scheme:\s*dark\)")
_PHONE_QUERY: Final = re.compile(r"@media\s*\(max-width:\s*480px\)")
_BODY: Final = re.compile(r"<body\b[^>]*>")
_FONTS = "-apple-system, 'Apple SD Gothic Neo', 'Segoe UI', 'Malgun Gothic', 'Noto Sans KR', sans-serif"
_INBOX_LINE: Final = (
    "all:initial;display:block;padding:12px 16px;border-bottom:1px solid GrayText;background:Canvas;color:CanvasText;"
    f"font:15px/1.6 {_FONTS.replace(chr(39), '')};"
)
_INBOX_ROW: Final = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;"
_PAGE: Final = (
    '<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>'
    ":root {{ color-scheme: light dark; }} "
    f"body {{{{ margin: 0; padding: 16px; font: 15px/1.6 {_FONTS}; color: #17212b; background: #fff; "
    "word-break: keep-all; overflow-wrap: anywhere; }} "
    "pre {{ margin: 0; font: 13px/1.6 ui-monospace, Menlo, Consolas, 'D2Coding', monospace; "
    "white-space: pre-wrap; overflow-wrap: anywhere; }} "
    ".problems {{ padding: 12px 16px; border-left: 4px solid #b42318; border-radius: 6px; background: #fde9e7; }} "
    ".problems h1 {{ margin: 0 0 6px; font-size: 16px; color: #b42318; }} "
    ".problems ul {{ margin: 0; padding-left: 20px; }} "
    "@media (prefers-color-scheme: dark) {{ body {{ color: #e9eef2; background: #161f27; }} "
    ".problems {{ background: #3c1b19; border-color: #ff9389; }} .problems h1 {{ color: #ff9389; }} }}"
    "</style></head><body>{content}</body></html>"
)
