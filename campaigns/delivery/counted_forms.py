"""Forms about a number of people: what somebody agrees to is what they saw, and a page shows one number only."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import StopValidation


class CountedForm(FlaskForm):  # type: ignore[misc]
    """Carries the number that the page shows. `seen` is the one the person saw, `people` the one of this moment.

    While a person reads and types, others come and go. A page that is shown again shows the number of that moment, and
    asks for no other.
    """

    counted = HiddenField()

    def __init__(self, *arguments: Any, people: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.people = people
        self.seen = read_number(self.counted.data)
        self.is_sent = self.counted.raw_data is not None
        self.counted.data = str(people)

    @property
    def has_changed(self) -> bool:
        """Whether the number differs so much from what the person saw that they must look again."""
        return self.is_sent and (self.seen is None or abs(self.people - self.seen) > max(10, self.seen // 100))


class ConfirmedForm(CountedForm):
    """One on which the number has to be typed when it is `confirm_from` or more."""

    confirm = StringField(_l("Number of people"))

    def __init__(self, *arguments: Any, confirm_from: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._confirm_from = confirm_from
        if self.has_changed:
            self.confirm.data = ""  # it was typed for another number

    @property
    def must_confirm(self) -> bool:
        """Whether so many get it that the number has to be typed."""
        return self.people >= self._confirm_from

    def validate_confirm(self, field: StringField) -> None:
        """Take the number that was asked for as people write it: with commas, spaces or full-width digits."""
        was_asked_for = (self.seen or 0) >= self._confirm_from
        if self.must_confirm and was_asked_for and read_number(field.data) != self.seen:
            raise StopValidation(_("To confirm, type %(number)s, the number of people.", number=self.people))


def read_number(text: str | None) -> int | None:
    """Return the whole number in `text`, with commas, spaces, dots or full-width digits; None when it is none."""
    plain = re.sub(r"[\s,.'’_]", "", unicodedata.normalize("NFKC", text or ""))
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 16 else None
