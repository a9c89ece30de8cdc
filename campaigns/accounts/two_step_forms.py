"""What people type about two-step log-in."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired


class CodeForm(FlaskForm):  # type: ignore[misc]
    """A code of the app."""

    code: Any = StringField(_l("Code from the app"), [InputRequired(_l("Enter the six digits that the app shows."))])


class RecoveryCodeForm(FlaskForm):  # type: ignore[misc]
    """A recovery code."""

    code = StringField(_l("Recovery code"), [InputRequired(_l("Enter one of your recovery codes."))])


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """The password once more, before something that matters."""

    password = PasswordField(_l("Password"), [InputRequired(_l("Enter your password."))])


class TurnOffForm(PasswordForm, CodeForm):
    """The password and a code."""

    code = StringField(
        _l("Code from the app, or a recovery code"),
        [InputRequired(_l("Enter a code from the app or a recovery code."))],
    )
