"""What the look at the sending domain is told."""

from __future__ import annotations

import ipaddress
import re

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.validators import ValidationError

MOST = 5
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class DomainCheckForm(FlaskForm):  # type: ignore[misc]
    """Which keys and which machines' addresses to look at; both may be left empty."""

    selectors = StringField(
        _l("DKIM selectors"), description=_l("The names your mail server or provider uses, separated by spaces.")
    )
    addresses = StringField(
        _l("IP addresses that mail leaves from"),
        description=_l("Of your own mail servers. With a provider’s servers leave it empty."),
    )

    def validate_selectors(self, field: Field) -> None:
        """Take names of DNS only."""
        if len(_words(field)) > MOST or not all(_SELECTOR.fullmatch(each) for each in _words(field)):
            raise ValidationError(_("Write at most %(most)s selectors, as s1 or google.", most=MOST))

    def validate_addresses(self, field: Field) -> None:
        """Take IP addresses only."""
        if len(_words(field)) > MOST or not all(_is_address(each) for each in _words(field)):
            raise ValidationError(_("Write at most %(most)s addresses, as 192.0.2.10 or 2001:db8::10.", most=MOST))

    def chosen(self) -> dict[str, list[str]]:
        """Return the words of both fields."""
        return {"selectors": _words(self.selectors), "addresses": _words(self.addresses)}


def _words(field: Field) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", field.data or "") if word]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
