"""What people enter before something happens to many of an ended campaign's people at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import StopValidation

from campaigns.delivery.forms import read_number


@dataclass(frozen=True)
class TypedWord:
    """What has to be typed: the word as it is shown, and what else is taken for it, such as its other language."""

    shown: str
    accepted: Sequence[str] = ()

    def is_in(self, text: str) -> bool:
        """Tell whether this was typed: in capitals or not, a number with its commas or without."""
        typed = unicodedata.normalize("NFKC", text).strip().lower()
        number = read_number(self.shown)
        return typed in {self.shown.lower(), *self.accepted} or (number is not None and read_number(typed) == number)


class ActionForm(FlaskForm):  # type: ignore[misc]
    """The number of people that the page showed, and a word to type when there are many."""

    counted = HiddenField()
    typed = StringField(_l("Type the word"))

    def __init__(self, *arguments: Any, word: TypedWord | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.word = word

    @property
    def counted_number(self) -> int | None:
        """The number of people that the person saw."""
        return read_number(self.counted.data)

    def validate_typed(self, field: StringField) -> None:
        """Ask for the word where there is one."""
        if self.word and not self.word.is_in(field.data or ""):
            raise StopValidation(_("To go on, type: %(word)s", word=self.word.shown))
