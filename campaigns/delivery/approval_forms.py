"""What the second person enters."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from campaigns.delivery.counted_forms import ConfirmedForm


class ApproveForm(ConfirmedForm):
    """The number of people, typed when there are many; the key says which request it was."""

    launch_key = HiddenField()


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
