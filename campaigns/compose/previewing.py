"""Choosing and rendering what the composer's preview frame shows."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import get_locale
from flask_babel import gettext as _

from campaigns.accounts.models import User
from campaigns.audience.queries import sample_users
from campaigns.clock import utcnow
from campaigns.compose.mails import inert_unsubscribe_url
from campaigns.compose.merge import OutputTooLong
from campaigns.compose.previews import InboxLine, PreviewView, show_html, show_inbox_line, show_plain, show_problems
from campaigns.compose.queries import compile_source, fields_of, find_user, sample_fields
from campaigns.compose.rendering import ContentError, ContentSource, Rendered
from campaigns.compose.wording import describe_content_error
from campaigns.mail.headers import Mailbox
from campaigns.mail.mime import build_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the raw source of a preview needs beside the content."""

    sender: tuple[str, str]
    reply_to: str = ""


def render_preview(source: ContentSource, envelope: Envelope, *, view: str, person: str, may_see_users: bool) -> str:
    """Return the page for the preview frame: the mail in one view, or what keeps it from being rendered."""
    chosen = PreviewView(view) if view in set(PreviewView) else PreviewView.DESKTOP
    try:
        fields = preview_fields(source.language, person, may_see_users=may_see_users)
        compiled = compile_source(source)
        rendered, preheader = compiled.render(fields), compiled.preheader.render(fields)
    except ContentError as error:
        return _show_content_error(error)
    except OutputTooLong:
        return show_problems(
            [_("The mail is longer than a mail may be. Shorten it.")], language=_page_language(), title=_("No preview")
        )
    line = InboxLine(envelope.sender[0], rendered.subject, preheader)
    if chosen is PreviewView.TEXT:
        return show_inbox_line(show_plain(rendered.text, language=source.language, title=rendered.subject), line)
    if chosen is PreviewView.SOURCE:
        raw = build_preview_message(rendered, envelope, to_address=fields["email"], to_name=fields["name"])
        return show_plain(raw.decode("ascii", "replace"), language="en", title=rendered.subject)
    is_dark = chosen is PreviewView.DARK
    page = show_html(rendered.html, dark=is_dark, phone=chosen is PreviewView.PHONE)
    return show_inbox_line(page, line, scheme="dark" if is_dark else "light")


def build_preview_message(rendered: Rendered, envelope: Envelope, *, to_address: str, to_name: str) -> bytes:
    """Return the mail as it would go over the wire, but for what a launch adds to its header."""
    name, address = envelope.sender
    return build_message(
        sender=Mailbox(address, name),
        recipient=Mailbox(to_address, to_name),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=f"<preview@{address.rpartition('@')[2]}>",
        date=utcnow(),
        reply_to=Mailbox(envelope.reply_to) if envelope.reply_to else None,
    )


def preview_fields(language: str, person: str, *, may_see_users: bool) -> dict[str, str]:
    """Return the values that a preview is filled with: a user's when that is chosen and allowed, else made up."""
    if user := previewed_person(person, may_see_users=may_see_users):
        return fields_of(user, inert_unsubscribe_url(), content_language=language)
    return sample_fields(language, inert_unsubscribe_url(), empty=person == "empty")


def previewed_person(person: str, *, may_see_users: bool) -> User | None:
    """Return the user with whose values a preview is filled; None for a made-up person."""
    return find_user(int(person)) if may_see_users and person.isdecimal() else None


def people_to_preview_as() -> list[tuple[str, str]]:
    """Return (id, name and address) of people whose values a preview can show."""
    return [(str(user.id), _label(user)) for user in sample_users(5)]


def _label(user: User) -> str:
    return f"{user.name} <{user.email}>" if user.name else user.email


def _show_content_error(error: ContentError) -> str:
    title = _("No preview until this is fixed")
    return show_problems(describe_content_error(error), language=_page_language(), title=title)


def _page_language() -> str:
    return str(get_locale() or "en")
