"""One visit: somebody, or something, asked for a tracked address. And what gives machines away.

Mail gateways follow every link before people see the mail, and browsers load pages ahead. None of that is a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from werkzeug.datastructures import Headers

from campaigns.delivery.tracking_tokens import MailKey

# So soon after the hand-over only machines are there: the mail is hardly in the mailbox.
EARLIEST_PERSON: Final = timedelta(seconds=10)
# So soon after each other, shortly after the hand-over, nobody follows different links.
BURST: Final = timedelta(seconds=3)
BURSTS_UNTIL: Final = timedelta(minutes=10)
_AHEAD_HEADERS: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


@dataclass(frozen=True, slots=True)
class Visit:
    """Whose mail, which link, when, and whether it says itself that it comes ahead of a person."""

    mail: MailKey
    link: int
    at: datetime
    is_ahead: bool = False


def comes_ahead(headers: Headers) -> bool:
    """Tell whether a request says that it loads a page before anybody wants to see it."""
    said = " ".join(headers.get(name, "") for name in _AHEAD_HEADERS).lower()
    return "prefetch" in said or "prerender" in said or "preview" in said


def is_too_early(at: datetime, *, handed_over_at: datetime | None) -> bool:
    """Tell whether a visit comes before a person can have seen the mail; None has not been settled yet."""
    return handed_over_at is None or at < handed_over_at + EARLIEST_PERSON


def may_be_burst(at: datetime, *, handed_over_at: datetime | None) -> bool:
    """Tell whether it is so soon after the hand-over that different links at once mean a machine."""
    return handed_over_at is None or at < handed_over_at + BURSTS_UNTIL
