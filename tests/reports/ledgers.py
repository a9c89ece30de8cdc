"""A frozen campaign whose rows have the outcomes a test asks for, in the ledger and in the batch's counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from campaigns.clock import utcnow
from campaigns.delivery.models import Batch, Delivery
from campaigns.delivery.models import DeliveryState as D
from campaigns.extensions import db


@dataclass(frozen=True)
class Outcome:
    """What became of one row."""

    state: D
    reason: str | None = None
    reply: str | None = None


NO_USER = Outcome(D.FAILED, "no_such_address", "550 5.1.1 <{address}>: user unknown")
LATER = Outcome(D.DEFERRED, "greylisted", "451 4.7.1 try again later")
LOST = Outcome(D.UNCERTAIN, "connection_lost")
SKIPPED = Outcome(D.SKIPPED, "unsubscribed")
TAKEN = Outcome(D.SENT, reply="250 2.0.0 ok")


def settle_batch(campaign_id: int, number: int, *outcomes: Outcome) -> None:
    """Settle one batch: its first rows get these outcomes, the others have been taken by the server."""
    batch = db.session.get_one(Batch, (campaign_id, number))
    rows = db.session.scalars(
        select(Delivery)
        .where(Delivery.campaign_id == campaign_id)
        .where(Delivery.position.between(batch.first_position, batch.last_position))
        .order_by(Delivery.position)
    ).all()
    for index, row in enumerate(rows):
        _settle(row, outcomes[index] if index < len(outcomes) else TAKEN)
    for state in D:
        if state != D.EXCLUDED:
            setattr(batch, state.value, sum(row.state == state for row in rows))
    batch.tries, batch.worker = 1, "test:1"
    db.session.commit()


def forget_user(campaign_id: int, position: int) -> None:
    """Detach a row from its user, as deleting the user does."""
    row = (Delivery.campaign_id == campaign_id) & (Delivery.position == position)
    db.session.execute(update(Delivery).where(row).values(user_id=None))
    db.session.commit()


def _settle(row: Delivery, outcome: Outcome) -> None:
    is_open = outcome.state == D.DEFERRED
    row.state, row.reason, row.attempts = outcome.state, outcome.reason, 1
    row.reply = outcome.reply.format(address=row.address) if outcome.reply else None
    row.next_attempt_at = utcnow() + timedelta(minutes=5) if is_open else None
    row.settled_at = None if is_open else utcnow()
