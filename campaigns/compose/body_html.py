"""A parsed body as HTML for a mail: bare elements that the layout's stylesheet gives their looks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from campaigns.compose.markdown import ParsedBody
from campaigns.compose.marks import Marks
from campaigns.compose.tracked_links import LinkTracker


def write_html(body: ParsedBody, marks: Marks, tracker: LinkTracker) -> str:
    """Return the body's HTML, with marks still in it. Raises MergeError when an `if` crosses elements."""
    html = _MailRenderer(marks, tracker).render(body.tokens, _OPTIONS, {})
    marks.check_nesting(html)
    return html


class _MailRenderer(RendererHTML):
    def __init__(self, marks: Marks, tracker: LinkTracker) -> None:
        super().__init__()
        self._marks = marks
        self._tracker = tracker

    def link_open(self, tokens: Sequence[Token], position: int, options: OptionsDict, env: Any) -> str:
        """Open a link, to its target or to where it is tracked. The token keeps the target: the text part shows it."""
        words = takewhile(lambda token: token.type != "link_close", tokens[position + 1 :])
        address = self._tracker.address_for(tokens[position], list(words))
        opening = tokens[position].copy(attrs={**tokens[position].attrs, "href": address})
        return self.renderToken([opening], 0, options, env)

    def paragraph_open(self, tokens: Sequence[Token], position: int, options: OptionsDict, env: Any) -> str:
        """Open a paragraph, or the table that makes a button in every mail program."""
        if self._is_control(tokens, position):
            return ""
        if tokens[position].meta.get("button"):
            tokens[position + 1].children[0].attrs["class"] = "button-link"  # type: ignore[index]
            return '<table role="presentation" class="button" cellpadding="0" cellspacing="0" border="0"><tr><td>'
        return self.renderToken(tokens, position, options, env)

    def paragraph_close(self, tokens: Sequence[Token], position: int, options: OptionsDict, env: Any) -> str:
        """Close what `paragraph_open` opened."""
        if self._is_control(tokens, position - 2):
            return ""
        if tokens[position - 2].meta.get("button"):
            return "</td></tr></table>\n"
        return self.renderToken(tokens, position, options, env)

    def table_open(self, tokens: Sequence[Token], position: int, options: OptionsDict, env: Any) -> str:
        """Open a table of data, apart in looks from the tables of the layout."""
        return '<table class="data" width="100%" cellpadding="0" cellspacing="0" border="0">\n'

    def _is_control(self, tokens: Sequence[Token], position: int) -> bool:
        return self._marks.is_control(tokens[position + 1].content)


_OPTIONS = MarkdownIt("commonmark", {"html": False, "breaks": True}).options
