"""How fast campaigns may send: the limits as they are now, asked for before each window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, select

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.delivery.models import RateSample
from campaigns.extensions import db
from campaigns.mail.addresses import AddressError, ascii_domain
from campaigns.mail.day_count import DAY_SLOT_SECONDS, DAY_SLOTS
from campaigns.mail.models import OutboxMail, OutboxState


@dataclass(frozen=True)
class Rates:
    """The limits of all workers together; 0 is no limit. Domains are in lower case, without limit where not named."""

    per_second: float = 0
    per_day: int = 0
    per_domain: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit on all mail together."""
        return bool(self.per_second or self.per_day)


def current_rates() -> Rates:
    """Return the limits as they are now; the one place that knows where they come from."""
    settings = current_settings()
    return Rates(settings.rate_per_second, settings.rate_per_day, dict(settings.rate_per_domain))


def domain_of(address: str) -> str:
    """Return the domain of an address as limits know it; one that no server can reach is nobody's."""
    try:
        return ascii_domain(address.rpartition("@")[2])
    except AddressError:
        return ""


def mails_by_day_slot() -> dict[int, int]:
    """Return how many mails went out in each slot of the last 24 hours, by all campaigns' samples and the outbox."""
    since = utcnow() - timedelta(seconds=(DAY_SLOTS + 1) * DAY_SLOT_SECONDS)
    answered = func.sum(RateSample.sent + RateSample.failed)
    campaigns = select(RateSample.window_start, answered).where(RateSample.window_start > since)
    is_sent = and_(OutboxMail.state == OutboxState.SENT, OutboxMail.settled_at > since)
    single = select(OutboxMail.settled_at, func.count()).where(is_sent)
    slots: Counter[int] = Counter()
    # A connection of its own: whoever waits for a limit must not keep a transaction open meanwhile.
    with db.engine.connect() as connection:
        for query in (campaigns.group_by(RateSample.window_start), single.group_by(OutboxMail.settled_at)):
            rows: Iterable[Any] = connection.execute(query)
            for moment, count in rows:
                slots[int(moment.timestamp()) // DAY_SLOT_SECONDS] += int(count)
    return slots
