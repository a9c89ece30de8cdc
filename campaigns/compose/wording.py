"""What the composer's problems and findings say in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask_babel import format_decimal, ngettext
from flask_babel import gettext as _

from campaigns.compose.checks import Finding, Level
from campaigns.compose.merge_tags import MergeProblem, ProblemKind
from campaigns.compose.rendering import ContentError


def describe_problem(problem: MergeProblem, *, with_place: bool = True) -> str:
    """Return one sentence: where the mistake is, what it is and, when known, what was meant."""
    sentence = _PROBLEMS[problem.kind](problem.written)
    if problem.suggestion:
        hint = _("Did you mean “%(name)s”?", name=problem.suggestion)
        sentence = f"{sentence} {hint}"
    if not with_place:
        return sentence
    place = _("Line %(line)s, column %(column)s:", line=problem.line, column=problem.column)
    return f"{place} {sentence}"


def describe_content_error(error: ContentError) -> list[str]:
    """Return a sentence for each mistake in the content, with the part of the composer that it is in."""
    parts = {"subject": _("Subject"), "preheader": _("Preview text"), "body": _("Body")}
    return [
        f"{parts[part]}: {describe_problem(problem, with_place=part == 'body')}"
        for part, problems in error.problems.items()
        for problem in problems
    ]


def describe_finding(finding: Finding) -> str:
    """Return one or two sentences: what was found and what to do."""
    if finding.level is Level.OK:
        return _PASSED[finding.code]()
    return _FINDINGS[finding.code](dict(finding.values))


_PROBLEMS: Final[dict[ProblemKind, Callable[[str], str]]] = {
    ProblemKind.BAD_FIELD: lambda written: _(
        '“%(written)s” cannot be read. Write a field as {{ name }} or {{ name | default: "friend" }}.',
        written=written,
    ),
    ProblemKind.BAD_TAG: lambda written: _(
        "“%(written)s” cannot be read. There is {%% if field %%}, {%% else %%} and {%% endif %%}.", written=written
    ),
    ProblemKind.UNCLOSED_BRACES: lambda written: _(
        "“%(written)s” is not closed on its line. For plain braces write a backslash in front.", written=written
    ),
    ProblemKind.UNKNOWN_FIELD: lambda written: _("There is no field “%(written)s”.", written=written),
    ProblemKind.IF_WITHOUT_END: lambda written: _(
        "The condition on “%(written)s” has no {%% endif %%}.", written=written
    ),
    ProblemKind.END_WITHOUT_IF: lambda written: _("“%(written)s” has no {%% if %%} before it.", written=written),
    ProblemKind.SECOND_ELSE: lambda written: _("A condition may have only one “else”."),
    ProblemKind.IF_CROSSES_BLOCKS: lambda written: _(
        "The condition on “%(written)s” begins in one paragraph, list or bold text and ends in another. "
        "Put {%% if %%} and {%% endif %%} on lines of their own.",
        written=written,
    ),
    ProblemKind.IF_IN_LINK: lambda written: _(
        "A condition cannot stand inside a link's address. Write two links, one in each branch."
    ),
}

_FINDINGS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "subject-missing": lambda v: _("There is no subject. Enter one."),
    "body-missing": lambda v: _("The body is empty. Write what you want to announce."),
    "only-images": lambda v: _(
        "The body has pictures but no text. Many people do not load pictures; say it in words too."
    ),
    "merge-problem": lambda v: describe_problem(v["problem"]),
    "values-missing": lambda v: ngettext(
        "%(num)s recipient has no value for “%(name)s” and will see a gap. Add a default.",
        "%(num)s recipients have no value for “%(name)s” and will see a gap. Add a default.",
        v["count"],
        name=v["name"],
    ),
    "link-refused": lambda v: _(
        "“%(address)s” is not an address that mail may link to, so it is shown as text. Use https:// or mailto:.",
        address=v["address"],
    ),
    "link-empty": lambda v: _("A link leads nowhere. Give it an address."),
    "link-relative": lambda v: _(
        "The link “%(address)s” has no https:// in front and leads nowhere from a mail.", address=v["address"]
    ),
    "link-local": lambda v: _(
        "The link “%(address)s” leads to this machine, where recipients cannot go.", address=v["address"]
    ),
    "alt-missing": lambda v: ngettext(
        "%(num)s picture has no description. Write it between the square brackets: ![description](address).",
        "%(num)s pictures have no description. Write it between the square brackets: ![description](address).",
        v["count"],
    ),
    "size-impossible": lambda v: _("The mail is longer than a mail may be. Shorten it."),
    "size-clipped": lambda v: _(
        "The mail is %(size)s KB. Gmail cuts mail off from 102 KB on, and with it the unsubscribe link. Shorten it.",
        size=format_decimal(v["bytes"] // 1000),
    ),
    "size-large": lambda v: _(
        "The mail is %(size)s KB. From 102 KB on Gmail cuts it off.", size=format_decimal(v["bytes"] // 1000)
    ),
    "subject-long": lambda v: _(
        "The subject has %(count)s characters. Phones show about the first %(most)s.",
        count=v["count"],
        most=v["most"],
    ),
    "subject-capitals": lambda v: _("The subject is all in capitals, which spam filters dislike."),
    "subject-fake-reply": lambda v: _("The subject looks like a reply or a forwarded mail. That misleads people."),
    "preheader-missing": lambda v: _(
        "There is no preview text. Inboxes will show the first words of the body after the subject."
    ),
    "preheader-repeats": lambda v: _("The preview text repeats the subject. Use it to say more."),
    "test-missing": lambda v: _("No test has been sent. Send one to yourself and read it."),
    "test-outdated": lambda v: _("The content has changed since the last test. Send another one."),
    "public-address-local": lambda v: _(
        "The site's public address is %(address)s, which recipients cannot reach, so unsubscribe links would be dead. "
        "Set PUBLIC_BASE_URL.",
        address=v["address"],
    ),
    "sender-missing": lambda v: _("There is no sender address. Set MAIL_DEFAULT_SENDER or the site's sender."),
    "postal-address-missing": lambda v: _(
        "The footer has no postal address. Several countries require one in announcements."
    ),
}

_PASSED: Final[dict[str, Callable[[], str]]] = {
    "subject": lambda: _("There is a subject."),
    "body": lambda: _("The body has text."),
    "merge-fields": lambda: _("All merge fields are known and well written."),
    "missing-values": lambda: _("No recipient will see a gap where a value is missing."),
    "links": lambda: _("All links lead somewhere outside."),
    "images": lambda: _("Every picture has a description."),
    "size": lambda: _("The mail is small enough not to be cut off."),
    "subject-style": lambda: _("The subject's length and style are fine."),
    "preheader": lambda: _("There is a preview text."),
    "test": lambda: _("This version has been sent as a test."),
    "public-address": lambda: _("The links of the mail lead to the site's public address."),
    "sender": lambda: _("The sender and postal address are set."),
}
