"""What people enter before something happens to many of an ended campaign's people at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import StringField
from wtforms.validators import StopValidation

from campaigns.delivery.counted_forms import CountedForm, read_number


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


class ActionForm(CountedForm):
    """The number of people, and a word to type when there are many: `word_for` tells which, if any, for how many."""

    typed = StringField(_l("Type the word"))

    def __init__(self, *arguments: Any, word_for: Callable[[int], TypedWord | None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.word = word_for(self.people)
        self._asked_for = word_for(self.seen or 0)
        if self.has_changed:
            self.typed.data = ""  # it was typed for another number

    def validate_typed(self, field: StringField) -> None:
        """Take the word that was asked for, where one still is."""
        if self.word and self._asked_for and not self._asked_for.is_in(field.data or ""):
            raise StopValidation(_("To go on, type: %(word)s", word=self.word.shown))
