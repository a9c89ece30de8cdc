"""What the second person enters."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length, StopValidation

from campaigns.delivery.forms import read_number


class ApproveForm(FlaskForm):  # type: ignore[misc]
    """The number of people that the page showed, typed when there are many; the key says which request it was."""

    counted = HiddenField()
    launch_key = HiddenField()
    confirm = StringField(_l("Number of people"))

    must_confirm = False

    @property
    def counted_number(self) -> int | None:
        """The number of people that the person saw."""
        return read_number(self.counted.data)

    def validate_confirm(self, field: StringField) -> None:
        """Take the number as people write it."""
        if self.must_confirm and read_number(field.data) != self.counted_number:
            raise StopValidation(_("To confirm, type %(number)s, the number of people.", number=self.counted_number))


class DeclineForm(FlaskForm):  # type: ignore[misc]
    """Why not; whoever asked reads it."""

    launch_key = HiddenField()
    reason = StringField(
        _l("Why not?"),
        [
            DataRequired(_l("Say why, so that it can be fixed.")),
            Length(max=300, message=_l("Use at most 300 characters.")),
        ],
    )
