"""What is typed on the pages of people."""

from __future__ import annotations

import unicodedata
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, Field, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import InputRequired, Length, StopValidation, ValidationError

from campaigns.accounts.addresses import Address, parse_address
from campaigns.audience.models import SuppressionReason
from campaigns.languages import LANGUAGES
from campaigns.mail.addresses import AddressError
from campaigns.site import current_site

LONGEST_NAME = 100
LONGEST_DETAIL = 300


def one_line(text: str | None) -> str:
    """Return `text` composed, without line breaks and doubled blanks, so that nothing of it could become a header."""
    return " ".join(unicodedata.normalize("NFC", text or "").split())


def check_printable(_form: FlaskForm, field: Field) -> None:
    """Refuse control characters, which no name has and no database or mail header may carry."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in field.data or ""):
        raise ValidationError(_("There are characters in here that cannot be shown. Type it again."))


def check_address(_form: FlaskForm, field: Field) -> None:
    """Refuse what cannot receive mail."""
    try:
        parse_address(field.data or "")
    except AddressError as error:
        raise StopValidation(_("Enter an e-mail address like name@example.com.")) from error


class PersonForm(FlaskForm):  # type: ignore[misc]
    """What those who run the site may say about a person."""

    name = StringField(
        _l("Name"), [Length(max=LONGEST_NAME, message=_l("Use at most 100 characters.")), check_printable], [one_line]
    )
    language = SelectField(_l("Language"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        usual = LANGUAGES.get(current_site().language, current_site().language)
        self.language.choices = [
            SelectChoice("", _("Not known: %(usual)s, as the site", usual=usual)),
            *(SelectChoice(code, word) for code, word in LANGUAGES.items()),
        ]


class NewPersonForm(PersonForm):
    """One person is added."""

    email = EmailField(_l("E-mail"), [InputRequired(_l("Enter the person's e-mail address.")), check_address])
    agreed = BooleanField(_l("This person has agreed to receive announcements"))

    @property
    def address(self) -> Address:
        """The address as it was checked."""
        return parse_address(str(self.email.data))


class SuppressForm(FlaskForm):  # type: ignore[misc]
    """Why an address shall get nothing."""

    reason = SelectField(
        _l("Why"),
        choices=[
            SelectChoice(SuppressionReason.BY_HAND.value, _l("Asked for by the person, or decided here")),
            SelectChoice(SuppressionReason.COMPLAINT.value, _l("The person reported spam")),
            SelectChoice(SuppressionReason.HARD_BOUNCE.value, _l("The address does not exist")),
        ],
    )
    detail = StringField(
        _l("Note"), [Length(max=LONGEST_DETAIL, message=_l("Use at most 300 characters.")), check_printable], [one_line]
    )


class ResumeForm(FlaskForm):  # type: ignore[misc]
    """Somebody who had unsubscribed receives again: only when they asked for it."""

    asked = BooleanField(
        _l("The person has asked to receive announcements again"),
        [InputRequired(_l("Only the person can take an unsubscription back."))],
    )


class DeleteForm(FlaskForm):  # type: ignore[misc]
    """A person is deleted."""

    keep_out = BooleanField(_l("Keep the address on the suppression list"))
