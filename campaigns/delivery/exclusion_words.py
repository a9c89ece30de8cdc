"""Why somebody is left out of a campaign, or was skipped while it ran, in words."""

from __future__ import annotations

from typing import Any, Final

from flask_babel import lazy_gettext as _l

# The codes are written by freeze.py (left out) and ledger.py (skipped).
EXCLUSION_WORDS: Final[dict[str, Any]] = {
    "unverified": _l("Has not confirmed the address"),
    "unsubscribed": _l("Unsubscribed"),
    "suppressed": _l("On the suppression list"),
    "deleted": _l("Deleted since the launch"),
}


def describe_exclusion(reason: str | None) -> str:
    """Return why in words; a reason this version does not know is given as it is."""
    return str(EXCLUSION_WORDS.get(reason or "", reason or _l("No reason was noted")))
