"""What a lost worker, a flushed broker or a chord without a callback left open, found and finished.

Beat runs this every few seconds. It believes nothing but the database, and whatever it starts is harmless when it has
been started already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery import ledger, rounds
from campaigns.delivery.models import Batch
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.delivery.reopening import PAUSE_REASONS
from campaigns.extensions import db

FREEZE_GRACE = timedelta(seconds=30)  # a freeze that old may have lost its message; a second one changes nothing
OPEN_STATES = (CampaignState.SENDING, CampaignState.PAUSED)


@dataclass(frozen=True)
class Missing:
    """What should be running and may not be: ids of campaigns, for the edge to enqueue."""

    holds: tuple[int, ...] = ()
    freezes: tuple[int, ...] = ()
    rounds: tuple[int, ...] = ()
    reopenings: tuple[tuple[int, str], ...] = ()  # with who is to wait again


def reconcile(*, broker_is_empty: bool) -> Missing:
    """Repair every open campaign's ledger, close what is through, and say what has to be started again. Commits.

    `broker_is_empty` tells whether no batch waits in the broker: while some do, a round whose batches nobody has taken
    yet is merely queued behind others, and publishing it again would only make the queue longer.
    """
    replay_dead_journals(current_settings().journal_dir)
    for campaign_id, number in _silent_batches():
        ledger.abandon_expired(campaign_id, number)
    for campaign_id, number in _pairs(_due()):
        ledger.wake_deferred(campaign_id, number)
    for campaign_id, number in _cancelled_batches():
        ledger.cancel_waiting(campaign_id, number)
    return Missing(
        holds=tuple(_over_holds()),
        freezes=tuple(_old_freezes()),
        rounds=tuple(_missing_rounds(broker_is_empty=broker_is_empty)),
        reopenings=tuple(_old_reopenings()),
    )


def wake_due(campaign_id: int) -> None:
    """Let everybody of one campaign wait again whose time has come. Commits by batch."""
    for _, number in _pairs(_due(Batch.campaign_id == campaign_id)):
        ledger.wake_deferred(campaign_id, number)


def cancel_rest(campaign_id: int) -> rounds.Progress:
    """Mark everybody of a cancelled campaign who still waits, and close it when nobody is left. Commits by batch."""
    for number in list(db.session.scalars(_waiting_batches().where(Batch.campaign_id == campaign_id))):
        ledger.cancel_waiting(campaign_id, number)
    return rounds.finish(campaign_id)


def _silent_batches() -> list[tuple[int, int]]:
    """Return batches with rows in `sending` that no living lease answers for."""
    now = utcnow()
    silent = or_(
        and_(Batch.lease_token.is_not(None), Batch.lease_until < now),
        and_(Batch.lease_token.is_(None), Batch.sending > 0),
    )
    return _pairs(select(Batch.campaign_id, Batch.number).where(silent))


def _due(*conditions: Any) -> Any:
    query = select(Batch.campaign_id, Batch.number).join(Campaign, Campaign.id == Batch.campaign_id)
    is_due = and_(Campaign.state.in_(OPEN_STATES), Batch.deferred > 0, Batch.next_attempt_at <= utcnow())
    return query.where(is_due, *conditions)


def _cancelled_batches() -> list[tuple[int, int]]:
    query = select(Batch.campaign_id, Batch.number).join(Campaign, Campaign.id == Batch.campaign_id)
    waiting = or_(Batch.waiting > 0, Batch.deferred > 0)
    return _pairs(query.where(Campaign.state == CampaignState.CANCELLED, Campaign.finished_at.is_(None), waiting))


def _waiting_batches() -> Any:
    return select(Batch.number).where(or_(Batch.waiting > 0, Batch.deferred > 0))


def _over_holds() -> Iterator[int]:
    over = and_(Campaign.state == CampaignState.STARTING, Campaign.hold_until <= utcnow())
    yield from db.session.scalars(select(Campaign.id).where(over))


def _old_freezes() -> Iterator[int]:
    old = and_(Campaign.state == CampaignState.PREPARING, Campaign.updated_at <= utcnow() - FREEZE_GRACE)
    yield from db.session.scalars(select(Campaign.id).where(old))


def _old_reopenings() -> Iterator[tuple[int, str]]:
    """Yield campaigns that were reopened, and whose rows have stopped to come back."""
    quiet = and_(Campaign.state == CampaignState.PAUSED, Campaign.updated_at <= utcnow() - FREEZE_GRACE)
    query = select(Campaign.id, Campaign.pause_reason).where(quiet, Campaign.pause_reason.in_(PAUSE_REASONS))
    for campaign_id, reason in db.session.execute(query):
        yield campaign_id, PAUSE_REASONS[reason].value


def _missing_rounds(*, broker_is_empty: bool) -> Iterator[int]:
    unfinished = and_(
        Campaign.state.in_([CampaignState.SENDING, CampaignState.CANCELLED]), Campaign.finished_at.is_(None)
    )
    grace = timedelta(seconds=current_settings().reconcile_seconds)
    for campaign_id in list(db.session.scalars(select(Campaign.id).where(unfinished))):
        if rounds.finish(campaign_id) is not rounds.Progress.MORE:
            continue
        if broker_is_empty and not rounds.is_round_underway(campaign_id, grace=grace):
            yield campaign_id


def _pairs(query: Any) -> list[tuple[int, int]]:
    return [(campaign_id, number) for campaign_id, number in db.session.execute(query)]
