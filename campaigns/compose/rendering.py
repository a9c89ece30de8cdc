"""From what an editor wrote to what every recipient gets: compiled once per campaign, rendered once per recipient.

Everything here is pure: no request, no session, no application.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from campaigns.compose.body_html import write_html
from campaigns.compose.contexts import Context, clean_line
from campaigns.compose.footer_words import footer_words
from campaigns.compose.markdown import ParsedBody, parse_body
from campaigns.compose.marks import Marks, mark_address
from campaigns.compose.merge import Template, parse
from campaigns.compose.merge_tags import MergeError, MergeProblem
from campaigns.compose.plain_text import write_text
from campaigns.compose.stored_template import template_from_json, template_to_json
from campaigns.compose.tracked_links import LinkTracker, Tracking

ALWAYS_FILLED_FIELDS: Final = frozenset({"email", "site_name", "date", "unsubscribe_url"})
FORMAT_VERSION: Final = 1
LINK_TARGETS: Final = "link_targets"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSource:
    """What an editor writes, with merge fields: subject, preheader and Markdown body; the language is the frame's."""

    subject: str
    body: str
    preheader: str = ""
    language: str = "ko"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFrame:
    """What stands around every announcement: who sends it, and where they are."""

    site_name: str
    sender_address: str = ""
    postal_address: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One recipient's subject, HTML and plain text."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledContent:
    """The content of a campaign, ready to be rendered for any number of recipients.

    A campaign keeps it as JSON from its launch on, so that a later version of the code sends the same mail. Of tracked
    links it holds the targets: link number n leads to `link_targets[n - 1]`.
    """

    subject: Template
    preheader: Template
    html: Template
    text: Template
    language: str
    link_targets: tuple[str, ...] = ()

    def render(self, fields: Mapping[str, str]) -> Rendered:
        """Return one recipient's mail; `fields` comes from `recipient_fields`. Raises OutputTooLong."""
        return Rendered(self.subject.render(fields), self.html.render(fields), self.text.render(fields))

    @property
    def fields_used(self) -> frozenset[str]:
        """Return the names of all fields in the mail."""
        return frozenset().union(*(template.fields_used for template in self._templates))

    @property
    def fields_without_default(self) -> frozenset[str]:
        """Return the fields that leave a gap in the mail of somebody who lacks the value."""
        gaps = frozenset[str]().union(*(template.fields_without_default for template in self._templates))
        return gaps - ALWAYS_FILLED_FIELDS

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain lists and strings."""
        templates = {name: template_to_json(getattr(self, name)) for name in _TEMPLATE_NAMES}
        content = {"format": FORMAT_VERSION, "language": self.language, **templates}
        return content | {LINK_TARGETS: list(self.link_targets)} if self.link_targets else content

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CompiledContent:
        """Return what `to_json` stored. Raises ValueError for a format that this version does not know."""
        if stored.get("format") != FORMAT_VERSION:
            raise ValueError(f"compiled content of format {stored.get('format')!r}, expected {FORMAT_VERSION}")
        templates = {name: template_from_json(stored[name]) for name in _TEMPLATE_NAMES}
        return cls(language=str(stored["language"]), link_targets=tuple(stored.get(LINK_TARGETS, ())), **templates)

    @property
    def _templates(self) -> tuple[Template, ...]:
        return (self.subject, self.preheader, self.html, self.text)


class ContentError(ValueError):
    """Content that cannot be compiled; `problems` maps "subject", "preheader" and "body" to their mistakes."""

    def __init__(self, problems: Mapping[str, tuple[MergeProblem, ...]]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{part}: {found}" for part, all_found in problems.items() for found in all_found))


def compile_content(
    source: ContentSource,
    frame: MailFrame,
    known_fields: Collection[str] | None = None,
    tracking: Tracking | None = None,
) -> CompiledContent:
    """Compile what an editor wrote.

    `known_fields` are the names that recipients have; None accepts every name. With `tracking` recipients' fields must
    hold TRACKING_TOKEN. Raises ContentError with the mistakes of all parts together.
    """
    marks = Marks(known_fields)
    tracker = LinkTracker(tracking, marks)
    problems: dict[str, tuple[MergeProblem, ...]] = {}
    with _Collecting(problems, "subject"):
        subject = parse(source.subject, Context.HEADER, known_fields)
    with _Collecting(problems, "preheader"):
        preheader = parse(source.preheader, Context.HEADER, known_fields)
        preheader_marked = marks.hide(clean_line(source.preheader))
    with _Collecting(problems, "body"):
        body = parse_body(source.body, marks)
        body_html = write_html(body, marks, tracker)
    if problems:
        raise ContentError(problems)
    words = _frame_words(source.language, frame, marks) | {"opening_picture": tracker.picture}
    html = _lay_out_html(body_html, preheader_marked, source.language, words, marks)
    text = _lay_out_text(body, words, marks)
    return CompiledContent(
        subject=subject,
        preheader=preheader,
        html=marks.reveal(html, plain=Context.HTML, url_whole=Context.URL_WHOLE_HTML),
        text=marks.reveal(text, plain=Context.TEXT, url_whole=Context.URL_WHOLE_TEXT),
        language=source.language,
        link_targets=tuple(tracker.targets),
    )


def recipient_fields(
    *,
    email: str,
    name: str,
    language: str,
    attributes: Mapping[str, Any],
    site_name: str,
    unsubscribe_url: str,
    date: str = "",
) -> dict[str, str]:
    """Return the flat dictionary that a recipient's mail is rendered from.

    An attribute never takes the place of a reserved field; without `date`, of a campaign that was launched before that
    was one, an attribute of that name stays.
    """
    fields = {key: "" if value is None else str(value) for key, value in attributes.items()}
    fields.update(name=name, email=email, language=language, site_name=site_name, unsubscribe_url=unsubscribe_url)
    if date:
        fields["date"] = date
    return fields


class _Collecting:
    """Collects a MergeError under the name of the part that it came from."""

    def __init__(self, problems: dict[str, tuple[MergeProblem, ...]], part: str) -> None:
        self._problems = problems
        self._part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, MergeError):
            self._problems[self._part] = error.problems
            return True
        return False


def _frame_words(language: str, frame: MailFrame, marks: Marks) -> dict[str, Any]:
    return {
        "words": footer_words(language),
        "site_name": clean_line(frame.site_name),
        "sender_address": clean_line(frame.sender_address),
        "postal_address": clean_line(frame.postal_address),
        "email": marks.hide("{{ email }}"),
        "unsubscribe_url": mark_address(marks.hide("{{ unsubscribe_url }}")),
    }


def _lay_out_html(body: str, preheader: str, language: str, words: dict[str, Any], marks: Marks) -> str:
    trusted = Markup(body)  # noqa: S704 - made by our own renderer, which escapes all that was written
    page = _LAYOUTS.get_template("body.html").render(body=trusted, preheader=preheader, language=language, **words)
    return _INLINER.inline(page).replace(' data-css-inline="keep"', "")


def _lay_out_text(body: ParsedBody, words: dict[str, Any], marks: Marks) -> str:
    return _LAYOUTS.get_template("body.txt").render(body=write_text(body, marks), **words)


_TEMPLATE_NAMES: Final = ("subject", "preheader", "html", "text")
_LAYOUTS: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parents[2] / "templates" / "mail" / "campaign"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Only what the layout itself says is inlined: nothing is fetched, wherever a stylesheet might point.
_INLINER: Final = CSSInliner(load_remote_stylesheets=False, minify_css=True)
