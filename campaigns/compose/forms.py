"""The composer's forms."""

from __future__ import annotations

import re
from dataclasses import fields
from email.utils import parseaddr
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, IntegerField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import DataRequired, InputRequired, Length, ValidationError
from wtforms.widgets import HiddenInput

from campaigns.compose.contexts import clean_line, clean_text
from campaigns.compose.models import Campaign
from campaigns.compose.previews import PreviewView
from campaigns.compose.rendering import ContentSource
from campaigns.compose.services import MOST_TEST_ADDRESSES, Draft
from campaigns.languages import LANGUAGES
from campaigns.mail.addresses import AddressError, wire_address

MOST_BODY_CHARACTERS = 200_000


def _one_line(value: str | None) -> str:
    return clean_line(value or "")


def _text(value: str | None) -> str:
    return clean_text(value or "")


def _length(most: int) -> Length:
    return Length(max=most, message=_l("At most %(max)d characters."))


class CampaignForm(FlaskForm):  # type: ignore[misc]
    """What a draft is made of, and how its preview is looked at.

    A draft may be unfinished or hold mistakes in its merge fields: those are shown, but never keep it from being saved.
    """

    subject = StringField(_l("Subject"), filters=[_one_line], validators=[_length(300)])
    preheader = StringField(_l("Preview text"), filters=[_one_line], validators=[_length(300)])
    sender_name = StringField(_l("Sender name"), filters=[_one_line], validators=[_length(120)])
    reply_to = StringField(_l("Reply-to address"), filters=[_one_line], validators=[_length(254)])
    language = SelectField(
        _l("Language of the mail"), choices=[SelectChoice(code, name) for code, name in LANGUAGES.items()], default="ko"
    )
    body = TextAreaField(_l("Body"), filters=[_text], validators=[_length(MOST_BODY_CHARACTERS)])
    tracks_opens = BooleanField(
        _l("Count openings"),
        description=_l(
            "An invisible picture shows that a mail was opened. An estimate: many mail programs load no pictures, "
            "and some load all of them automatically."
        ),
    )
    tracks_clicks = BooleanField(
        _l("Count clicks"),
        description=_l(
            "Links go through this site, which counts who follows them. Links that show their own address, contain "
            "a merge field, or lead to unsubscribing stay as they are, and so does the text version."
        ),
    )
    version = IntegerField(widget=HiddenInput(), validators=[InputRequired(_l("Reload the page and try again."))])
    preview_mode = RadioField(
        _l("View"),
        choices=[
            SelectChoice(PreviewView.DESKTOP, _l("Desktop")),
            SelectChoice(PreviewView.PHONE, _l("Phone")),
            SelectChoice(PreviewView.DARK, _l("Dark")),
            SelectChoice(PreviewView.TEXT, _l("Text")),
            SelectChoice(PreviewView.SOURCE, _l("Source")),
        ],
        default=PreviewView.DESKTOP,
        validate_choice=False,
    )
    preview_as = SelectField(_l("Seen by"), default="sample", validate_choice=False)
    then = HiddenField()

    def __init__(self, *args: Any, people: list[tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("sample", _("A sample person")), ("empty", _("Somebody without any values")), *(people or [])]
        self.preview_as.choices = [SelectChoice(value, label) for value, label in choices]

    def validate_reply_to(self, field: StringField) -> None:
        if field.data:
            _check_address(field.data)

    def draft(self) -> Draft:
        """Return the content as it is saved."""
        return Draft(
            subject=self.subject.data or "",
            preheader=self.preheader.data or "",
            sender_name=self.sender_name.data or "",
            reply_to=self.reply_to.data or "",
            language=self.language.data,
            body=self.body.data or "",
            tracks_opens=self.tracks_opens.data,
            tracks_clicks=self.tracks_clicks.data,
        )

    def source(self) -> ContentSource:
        """Return the content as it is rendered."""
        draft = self.draft()
        language = draft.language if draft.language in LANGUAGES else "en"
        return ContentSource(subject=draft.subject, preheader=draft.preheader, body=draft.body, language=language)

    def show_stored(self, campaign: Campaign) -> None:
        """Fill the form from a campaign."""
        for name in (*(field.name for field in fields(Draft)), "version"):
            self[name].data = getattr(campaign, name)


class TestSendForm(FlaskForm):  # type: ignore[misc]
    """Where a test goes, and whose values it shows."""

    addresses = TextAreaField(
        _l("Addresses"), validators=[DataRequired(_l("Enter at least one address.")), _length(4000)]
    )
    person = StringField(_l("Show the values of"), filters=[_one_line], validators=[_length(254)])

    def validate_addresses(self, field: TextAreaField) -> None:
        found = split_addresses(field.data or "")
        if len(found) > MOST_TEST_ADDRESSES:
            raise ValidationError(
                ngettext("At most %(num)s address.", "At most %(num)s addresses.", MOST_TEST_ADDRESSES)
            )
        for address in found:
            _check_address(address)

    def chosen_addresses(self) -> list[str]:
        """Return the addresses, each once, in the order given."""
        return split_addresses(self.addresses.data or "")


def split_addresses(text: str) -> list[str]:
    """Return the addresses in a text that separates them by lines, commas, semicolons or spaces."""
    pieces = [piece.strip() for piece in re.split(r"[,;\n]+", text) if piece.strip()]
    addresses = [
        part for piece in pieces for part in ([parseaddr(piece)[1] or piece] if "<" in piece else piece.split())
    ]
    return list(dict.fromkeys(addresses))


def _check_address(address: str) -> None:
    try:
        wire_address(address)
    except AddressError as error:
        raise ValidationError(_("“%(address)s” is not a mail address.", address=address)) from error
