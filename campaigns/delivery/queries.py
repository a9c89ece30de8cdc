"""Reading the ledger: totals that add up, the batches as they stand, and the rate. Nothing here commits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import func, select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery.ledger import count_ledger
from campaigns.delivery.ledger_rows import COUNTED, RATE_WINDOW_SECONDS
from campaigns.delivery.models import Batch, DeliveryState, FrozenAudience, RateSample
from campaigns.errors import NotFound
from campaigns.extensions import db


@dataclass(frozen=True)
class Totals:
    """Every term of the equation, at one instant."""

    id: int
    state: str
    candidates: int = 0
    excluded: int = 0
    recipients: int = 0
    sent: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    uncertain: int = 0
    deferred: int = 0
    sending: int = 0
    waiting: int = 0

    @property
    def done(self) -> int:
        """How many recipients will see no further attempt by itself."""
        return self.sent + self.failed + self.skipped + self.cancelled + self.uncertain

    @property
    def balances(self) -> bool:
        """Whether the equation holds, both lines of it."""
        open_ones = self.deferred + self.sending + self.waiting
        return self.candidates == self.excluded + self.recipients and self.recipients == self.done + open_ones

    def as_dict(self) -> dict[str, int | str]:
        """Return all terms by name, in the order that operators' scripts know."""
        return asdict(self)


def campaign_totals(campaign_id: int) -> Totals:
    """Return the equation of one campaign from the batches' counts, cheap enough to poll. Raises NotFound."""
    state = db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))
    if state is None:
        raise NotFound(f"there is no campaign {campaign_id}")
    audience = db.session.get(FrozenAudience, campaign_id)
    if audience is None:
        return Totals(id=campaign_id, state=state)
    sums = [func.coalesce(func.sum(getattr(Batch, term.value)), 0).label(term.value) for term in COUNTED]
    counted = db.session.execute(select(*sums).where(Batch.campaign_id == campaign_id)).one()
    return Totals(
        id=campaign_id, state=state, candidates=audience.candidates, excluded=audience.excluded,
        recipients=audience.recipients, **{term.value: int(getattr(counted, term.value)) for term in COUNTED},
    )  # fmt: skip


def ledger_totals(campaign_id: int) -> Totals:
    """Return the equation counted row by row from the ledger: slower, and believing nothing else. Raises NotFound."""
    state = db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))
    if state is None:
        raise NotFound(f"there is no campaign {campaign_id}")
    counted = count_ledger(campaign_id)
    excluded = counted.pop(DeliveryState.EXCLUDED)
    recipients = sum(counted.values())
    return Totals(
        id=campaign_id, state=state, candidates=excluded + recipients, excluded=excluded, recipients=recipients,
        **{term.value: number for term, number in counted.items()},
    )  # fmt: skip


def recent_rate(campaign_id: int, *, seconds: int = 60) -> float:
    """Return how many messages a second were accepted in the last `seconds`, from ten-second samples."""
    since = utcnow() - timedelta(seconds=seconds)
    query = select(func.sum(RateSample.sent), func.min(RateSample.window_start)).where(
        RateSample.campaign_id == campaign_id, RateSample.window_start >= since
    )
    sent, first = db.session.execute(query).one()
    if not sent:
        return 0.0
    return float(sent) / max((utcnow() - first).total_seconds(), RATE_WINDOW_SECONDS / 2)


def rate_samples(campaign_id: int) -> list[RateSample]:
    """Return the ten-second samples of a campaign in order."""
    query = select(RateSample).where(RateSample.campaign_id == campaign_id).order_by(RateSample.window_start)
    return list(db.session.scalars(query))
