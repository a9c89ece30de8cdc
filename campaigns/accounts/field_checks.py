"""What forms with names and addresses check in the same way."""

from __future__ import annotations

import unicodedata
from typing import Any

from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import Field
from wtforms.validators import StopValidation, ValidationError

from campaigns.accounts.addresses import parse_address
from campaigns.mail.addresses import AddressError


def one_line(value: Any) -> str:
    """Return a text composed, without line breaks and doubled blanks, so that nothing of it could become a header."""
    return " ".join(unicodedata.normalize("NFC", str(value if value is not None else "")).split())


def text_of(field: Field) -> str:
    """Return what was typed, "" for nothing."""
    return str(field.data or "")


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
