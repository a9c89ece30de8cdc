"""Rounds: which batches a chord runs over, and what follows when it is through.

A round is a fast path, never book-keeping: its callback can be lost, doubled or late. Whoever calls `finish` (the
callback, an errback, the sweep), it reads the ledger and closes the campaign once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Select, func, insert, or_, select, update

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery.ledger import count_ledger
from campaigns.delivery.models import Batch, DeliveryState, Round
from campaigns.extensions import db

# One chord of more is published for too long: a publisher that dies half way leaves a chord that never completes.
BATCHES_PER_ROUND = 1_000
SHORTEST_PAUSE_SECONDS = 0.5  # between rounds for those who wait for their domain's turn
D = DeliveryState


class Progress(StrEnum):
    """What is left of a campaign after a round."""

    DONE = "done"  # recorded as ended, now or before
    MORE = "more"  # somebody waits whose batch is in nobody's hands: another round is due
    LATER = "later"  # all that is left is being sent, deferred, or held


@dataclass(frozen=True)
class PlannedRound:
    """A round whose row is committed; its batches are to be published as one chord."""

    campaign_id: int
    number: int
    batches: tuple[int, ...]


def plan_round(campaign_id: int) -> PlannedRound | None:
    """Plan a round over batches that have somebody waiting and are in nobody's hands. Commits.

    Returns None when there are none. While the mail server refuses us, the round is one batch: a probe.
    """
    now = utcnow()
    campaign = db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state == CampaignState.SENDING)
        .where(or_(Campaign.next_round_at.is_(None), Campaign.next_round_at <= now))
        .values(next_round_at=None)
        .returning(Campaign.trouble)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    limit = 1 if campaign and campaign.trouble else BATCHES_PER_ROUND
    batches = tuple(db.session.scalars(_open_batches(campaign_id).limit(limit))) if campaign else ()
    if not batches:
        db.session.rollback()
        return None
    number = 1 + (db.session.scalar(select(func.max(Round.number)).where(Round.campaign_id == campaign_id)) or 0)
    db.session.execute(
        insert(Round).values(campaign_id=campaign_id, number=number, batches=len(batches), started_at=now)
    )
    db.session.commit()
    return PlannedRound(campaign_id, number, batches)


def note_published(planned: PlannedRound) -> None:
    """Remember when the chord of a round was handed to the broker. Commits."""
    _update_round(planned.campaign_id, planned.number, published_at=utcnow())


def close_round(campaign_id: int, number: int) -> None:
    """Remember that a round's chord is through; a repeat changes nothing. Commits."""
    _update_round(campaign_id, number, closed_at=func.coalesce(Round.closed_at, utcnow()))


def finish(campaign_id: int) -> Progress:
    """Close a campaign whose every recipient is settled, recording totals counted from the ledger; say what is left.

    Commits. Of any number of calls, at any time, one records the totals.
    """
    state = db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))
    if state == CampaignState.SENT:
        return Progress.DONE
    if state not in {CampaignState.SENDING, CampaignState.CANCELLED}:
        return Progress.LATER
    if not _anything_open(campaign_id):
        return _record_totals(campaign_id)
    if state == CampaignState.SENDING and db.session.scalar(_open_batches(campaign_id).limit(1)) is not None:
        return Progress.MORE
    return Progress.LATER


def seconds_to_next_turn(campaign_id: int, after_round: int) -> float | None:
    """Return in how many seconds somebody put off is due, if that is before the next sweep; else None.

    Domains with a limit have their people due every moment, and waiting for the sweep would waste their turns. Only the
    last round leads to another, so that there is one chain of rounds however many were started.
    """
    last = db.session.scalar(select(func.max(Round.number)).where(Round.campaign_id == campaign_id))
    due = select(func.min(Batch.next_attempt_at)).where(Batch.campaign_id == campaign_id, Batch.deferred > 0)
    earliest = db.session.scalar(due)
    if last != after_round or earliest is None:
        return None
    seconds = (earliest - utcnow()).total_seconds()
    return max(SHORTEST_PAUSE_SECONDS, seconds) if seconds < current_settings().reconcile_seconds else None


def is_round_underway(campaign_id: int, *, grace: timedelta) -> bool:
    """Tell whether the last round was handed over a moment ago, or has a batch in a living worker's hands."""
    now = utcnow()
    leased = select(Batch.number).where(Batch.campaign_id == campaign_id, Batch.lease_until >= now).limit(1)
    if db.session.scalar(leased) is not None:
        return True
    started = select(func.max(func.coalesce(Round.published_at, Round.started_at))).where(
        Round.campaign_id == campaign_id, Round.closed_at.is_(None)
    )
    last = db.session.scalar(started)
    return last is not None and last > now - grace


def _open_batches(campaign_id: int) -> Select[int]:
    free = or_(Batch.lease_token.is_(None), Batch.lease_until < utcnow())
    return (
        select(Batch.number)
        .where(Batch.campaign_id == campaign_id, Batch.waiting > 0, Batch.sending == 0, free)
        .order_by(Batch.number)
    )


def _anything_open(campaign_id: int) -> bool:
    is_open = or_(Batch.waiting > 0, Batch.sending > 0, Batch.deferred > 0)
    return db.session.scalar(select(Batch.number).where(Batch.campaign_id == campaign_id, is_open).limit(1)) is not None


def _record_totals(campaign_id: int) -> Progress:
    """Count the ledger itself, not the batches: what is recorded for ever is the truth or nothing."""
    # The campaign's row is held while we count, so that no late outcome can let somebody wait again in between.
    hold = update(Campaign).where(Campaign.id == campaign_id).values(updated_at=Campaign.updated_at)
    db.session.execute(hold.execution_options(synchronize_session=False))
    counted = count_ledger(campaign_id)
    if counted[D.WAITING] or counted[D.SENDING] or counted[D.DEFERRED]:
        db.session.rollback()
        return Progress.LATER
    recorded = {state.value: number for state, number in counted.items()}
    for state in (CampaignState.SENDING, CampaignState.CANCELLED):
        target = CampaignState.SENT if state is CampaignState.SENDING else state
        db.session.execute(
            update(Campaign)
            .where(Campaign.id == campaign_id, Campaign.state == state, Campaign.finished_at.is_(None))
            .values(state=target, finished_at=utcnow(), totals=recorded, updated_at=utcnow())
            .execution_options(synchronize_session=False)
        )
    db.session.commit()
    return Progress.DONE


def _update_round(campaign_id: int, number: int, **values: object) -> None:
    db.session.execute(
        update(Round)
        .where(Round.campaign_id == campaign_id, Round.number == number)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
