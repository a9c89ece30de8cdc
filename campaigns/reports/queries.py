"""What the progress page reads, every two seconds: batches and samples, and of the ledger only a few batches' rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import case, func, or_, select

from campaigns.clock import utcnow
from campaigns.delivery.models import Batch, Delivery, DeliveryState, RateSample
from campaigns.extensions import db

RATE_WINDOW_SECONDS: Final = 10
OPEN_BATCHES_SHOWN: Final = 12
BATCHES_LOOKED_INTO: Final = 10
REFUSED_STATES: Final = (DeliveryState.FAILED, DeliveryState.DEFERRED)


@dataclass(frozen=True)
class ReasonCount:
    """How many recipients share a state and a reason, with one server's words for it."""

    state: str
    reason: str | None
    people: int
    reply: str | None
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class OpenBatches:
    """The batches that something has happened to and that are not done, and how many more there are."""

    shown: Sequence[Batch]
    more: int


def open_batches(campaign_id: int) -> OpenBatches:
    """Return the batches in work or in trouble, in order; those nobody has touched are only a number in the picture."""
    is_open = Batch.waiting + Batch.sending + Batch.deferred > 0
    touched = or_(Batch.sending > 0, Batch.deferred > 0, Batch.last_error.is_not(None), Batch.lease_token.is_not(None))
    query = select(Batch).where(Batch.campaign_id == campaign_id, is_open, touched).order_by(Batch.number)
    total = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    shown = db.session.scalars(query.limit(OPEN_BATCHES_SHOWN)).all()
    return OpenBatches(shown, total - len(shown))


def batch_picture(campaign_id: int) -> list[str]:
    """Return one word per batch, in order: done, sending, retrying, failed, cancelled or waiting.

    A batch counts as failed when a tenth of it did: single bad addresses are everywhere and would paint it all red.
    """
    size = Batch.last_position - Batch.first_position + 1
    word = case(
        (or_(Batch.sending > 0, Batch.lease_until >= utcnow()), "sending"),
        (Batch.deferred > 0, "retrying"),
        (Batch.waiting > 0, "waiting"),
        ((Batch.failed + Batch.uncertain) * 10 >= size, "failed"),
        (Batch.cancelled > 0, "cancelled"),
        else_="done",
    )
    return list(db.session.scalars(select(word).where(Batch.campaign_id == campaign_id).order_by(Batch.number)))


def recent_refusals(campaign_id: int) -> Sequence[ReasonCount]:
    """Return the refusals of the last batches that had any, by reason, the most frequent first.

    Only these batches' rows are read: the ledger may hold a million.
    """
    ranges = db.session.execute(
        select(Batch.first_position, Batch.last_position)
        .where(Batch.campaign_id == campaign_id, Batch.failed + Batch.deferred > 0)
        .order_by(Batch.number.desc())
        .limit(BATCHES_LOOKED_INTO)
    ).all()
    if not ranges:
        return []
    spans = or_(*(Delivery.position.between(first, last) for first, last in ranges))
    return count_reasons(Delivery.campaign_id == campaign_id, spans, Delivery.state.in_(REFUSED_STATES))


def count_reasons(*conditions: Any) -> Sequence[ReasonCount]:
    """Group the rows that meet the conditions by state and reason, the most frequent first."""
    people = func.count().label("people")
    rows = db.session.execute(
        select(Delivery.state, Delivery.reason, people, func.min(Delivery.reply), func.min(Delivery.next_attempt_at))
        .where(*conditions)
        .group_by(Delivery.state, Delivery.reason)
        .order_by(people.desc(), Delivery.reason)
    )
    return [ReasonCount(*row) for row in rows]


def recent_samples(campaign_id: int, *, minutes: int = 10) -> list[float]:
    """Return mails taken per second in each ten-second window of the last minutes, the oldest first, gaps as 0.

    The window that is still filling is left out: it would always look like a drop.
    """
    end = window_of(utcnow())
    start = end - timedelta(minutes=minutes)
    rows = db.session.execute(
        select(RateSample.window_start, RateSample.sent).where(
            RateSample.campaign_id == campaign_id, RateSample.window_start >= start, RateSample.window_start < end
        )
    )
    sent: dict[datetime, int] = {row.window_start: row.sent for row in rows}
    if not sent:
        return []
    first = min(sent)
    count = int((end - first).total_seconds()) // RATE_WINDOW_SECONDS
    windows = (first + timedelta(seconds=RATE_WINDOW_SECONDS * index) for index in range(count))
    return [sent.get(window, 0) / RATE_WINDOW_SECONDS for window in windows]


def window_of(moment: datetime) -> datetime:
    """Return the start of the ten-second window that holds `moment`."""
    return moment.replace(second=moment.second - moment.second % RATE_WINDOW_SECONDS, microsecond=0)
