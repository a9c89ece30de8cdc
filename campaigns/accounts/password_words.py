"""Why a password is refused, in words."""

from __future__ import annotations

from flask_babel import gettext as _

from campaigns.accounts.password_rules import MAX_LENGTH, MIN_LENGTH, PasswordProblem


def words_for(problem: PasswordProblem) -> str:
    """Return what is wrong with a password, and what would help."""
    words = {
        PasswordProblem.TOO_SHORT: _(
            "Use at least %(count)s characters. A few random words work well.", count=MIN_LENGTH
        ),
        PasswordProblem.TOO_LONG: _("Use at most %(count)s characters.", count=MAX_LENGTH),
        PasswordProblem.COMMON: _("This password is among the first that attackers try. Choose another."),
        PasswordProblem.PERSONAL: _("This password is based on your address or a name. Choose another."),
    }
    return str(words[problem])
