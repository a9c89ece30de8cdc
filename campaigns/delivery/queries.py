"""Reading the ledger: totals that add up, the batches as they stand, and the rate. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery.ledger import count_ledger
from campaigns.delivery.ledger_rows import COUNTED, RATE_WINDOW_SECONDS
from campaigns.delivery.models import Batch, DeliveryAttempt, DeliveryState, FrozenAudience, Occurrence, RateSample
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
    counted = db.session.execute(select(*_sums()).where(Batch.campaign_id == campaign_id)).one()
    return _totals(campaign_id, state, audience, counted)


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


def totals_of(campaign_ids: Sequence[int]) -> dict[int, Totals]:
    """Return the equations of many campaigns, as `campaign_totals` does, with two queries for all of them."""
    counted = select(Batch.campaign_id, *_sums()).where(Batch.campaign_id.in_(campaign_ids)).group_by(Batch.campaign_id)
    terms = {row.campaign_id: row for row in db.session.execute(counted)}
    audiences = (
        select(Campaign.id, Campaign.state, FrozenAudience)
        .outerjoin(FrozenAudience, FrozenAudience.campaign_id == Campaign.id)
        .where(Campaign.id.in_(campaign_ids))
    )
    return {
        row.id: _totals(row.id, row.state, row.FrozenAudience, terms.get(row.id))
        for row in db.session.execute(audiences)
    }


def past_occurrences(recurrence_id: int, *, limit: int = 50) -> list[tuple[Occurrence, Totals | None]]:
    """Return the days that a repetition has had, the latest first, with the totals of those that were sent."""
    query = select(Occurrence).where(Occurrence.recurrence_id == recurrence_id)
    days = list(db.session.scalars(query.order_by(Occurrence.local_date.desc()).limit(limit)))
    totals = totals_of([day.campaign_id for day in days if day.campaign_id is not None])
    return [(day, totals.get(day.campaign_id or 0)) for day in days]


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


def _sums() -> list[Any]:
    return [func.coalesce(func.sum(getattr(Batch, term.value)), 0).label(term.value) for term in COUNTED]


def _totals(campaign_id: int, state: str, audience: FrozenAudience | None, terms: Any) -> Totals:
    if audience is None:
        return Totals(id=campaign_id, state=state)
    return Totals(
        id=campaign_id, state=state, candidates=audience.candidates, excluded=audience.excluded,
        recipients=audience.recipients,
        **{term.value: int(getattr(terms, term.value)) if terms else 0 for term in COUNTED},
    )  # fmt: skip


def attempts_of(campaign_id: int, position: int) -> Sequence[DeliveryAttempt]:
    """Return what is kept of one person's attempts and of decisions about them, the oldest first."""
    ours = DeliveryAttempt.campaign_id == campaign_id, DeliveryAttempt.position == position
    return db.session.scalars(select(DeliveryAttempt).where(*ours).order_by(DeliveryAttempt.id)).all()
