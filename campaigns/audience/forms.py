"""What is typed on the pages of people."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import InputRequired, Length

from campaigns.accounts.addresses import Address, parse_address
from campaigns.accounts.field_checks import check_address, check_printable, one_line
from campaigns.audience.models import SuppressionReason
from campaigns.languages import LANGUAGES
from campaigns.site import current_site

LONGEST_NAME = 100
LONGEST_DETAIL = 300


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
