"""The exceptions Carillon raises on purpose, split by what the caller must do.

CarillonError
├── UserError          the person can mend it; `message` is shown to them, translated
│   ├── NotFound       no such thing, or not theirs to see: 404
│   ├── Forbidden      theirs to see elsewhere or as somebody else: 403, with what would help
│   └── Conflict       somebody else changed it first: 409
├── SettingsError      a setting is wrong; the process does not start
├── TemporaryError     trying again later may succeed
└── PermanentError     trying again will fail the same way
"""

from __future__ import annotations


class CarillonError(Exception):
    """Anything Carillon raises on purpose."""


class UserError(CarillonError):
    """Something the person can mend; `message` says what, in their language."""

    status_code = 422

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(UserError):
    """There is no such thing, or it is not this person's to see."""

    status_code = 404


class Forbidden(UserError):
    """Not for this person, or not from here; `message` says what would help."""

    status_code = 403


class Conflict(UserError):
    """Somebody or something else changed it first."""

    status_code = 409


class SettingsError(CarillonError):
    """One or more settings are wrong; each line of the message names one and says what was expected."""


class TemporaryError(CarillonError):
    """Trying again later may succeed."""


class PermanentError(CarillonError):
    """Trying again will fail the same way."""
