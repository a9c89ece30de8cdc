"""Fields that take numbers as people write them, and the checks that the forms of settings share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.validators import StopValidation

from campaigns.accounts.addresses import parse_address
from campaigns.mail.addresses import AddressError, ascii_domain
from campaigns.presentation import format_number

_RATE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")


def whole(*, least: int, most: int) -> Callable[[FlaskForm, Field], None]:
    """Take a whole number between two bounds; the field's data is the number afterwards."""

    def check(_form: FlaskForm, field: Field) -> None:
        text = plain(field.data)
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
            low, high = format_number(least), format_number(most)
            raise StopValidation(_("Enter a whole number from %(low)s to %(high)s.", low=low, high=high))
        field.data = int(text)

    return check


def rate(*, most: float) -> Callable[[FlaskForm, Field], None]:
    """Take a number of 0 or more, with or without decimals; the field's data is the number afterwards."""

    def check(_form: FlaskForm, field: Field) -> None:
        text = plain(field.data)
        if not _RATE.fullmatch(text) or float(text) > most:
            raise StopValidation(_("Enter a number from 0 to %(high)s.", high=format_number(most)))
        field.data = float(text)

    return check


def check_domain_rates(_form: FlaskForm, field: Field) -> None:
    """Take a line for each domain, as `gmail.com 20`; the field's data is ((domain, mails a second), …) afterwards."""
    rates: dict[str, float] = {}
    for line in filter(None, (each.strip() for each in (field.data or "").splitlines())):
        domain, _blank, number = re.sub(r"[\s=:]+", " ", line).rpartition(" ")
        key, text = _domain_of(domain), plain(number)
        if not key or not _RATE.fullmatch(text) or not float(text):
            raise StopValidation(
                _("Write a domain and a number in each line, as gmail.com 20. Not clear: %(line)s", line=line)
            )
        if key in rates:
            raise StopValidation(_("Name each domain once. Twice: %(domain)s", domain=domain))
        rates[key] = float(text)
    field.data = tuple(rates.items())


def check_address(_form: FlaskForm, field: Field) -> None:
    """Take an address that can receive mail, in its stored spelling afterwards; nothing at all is left to others."""
    if not field.data:
        return
    try:
        field.data = parse_address(field.data).email
    except AddressError as error:
        raise StopValidation(_("Enter an e-mail address like name@example.com.")) from error


def plain(text: Any) -> str:
    """Return a number as typed without separators and in ASCII digits: people write 12,480 and １２４８０."""
    return re.sub(r"[\s,'’_]", "", unicodedata.normalize("NFKC", str(text if text is not None else "")))


class NumberField(StringField):
    """A number with or without decimals, shown without those that say nothing."""

    data: Any

    def _value(self) -> str:
        is_whole = isinstance(self.data, float) and self.data.is_integer()
        return str(int(self.data)) if is_whole else str(self.data if self.data is not None else "")


class RatesField(StringField):
    """Rates of domains, shown one in a line."""

    data: Any

    def _value(self) -> str:
        if isinstance(self.data, tuple):
            return "\n".join(f"{domain} {number:g}" for domain, number in self.data)
        return self.data or ""


def _domain_of(text: str) -> str:
    try:
        return ascii_domain(text) if "." in text else ""
    except AddressError:
        return ""
