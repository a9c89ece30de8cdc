"""The ledger's moves: leases on batches, claims of rows, and the settling of outcomes.

What must hold, whatever breaks:

* No byte of a message leaves before its row is committed as `sending` with this lease's token.
* A row goes back from `sending` to `waiting` only when it is known that its content was not handed over.
* Settling asks for the token. A late but rightful owner may turn `uncertain` into the truth; nobody else's rows change.

Every function that changes rows first updates the batch's own row, which keeps all others out until the commit; so the
counts that it then takes from the ledger and writes to the batch are exact.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, func, or_, select, text, update

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.database import UtcDateTime
from campaigns.delivery.claims import Lease, Recipient, Settlement
from campaigns.delivery.ledger_rows import (
    give_up_sending,
    recount,
    sample_rate,
    set_state,
    settle_token,
    skip,
    suppress,
    tell_lost,
)
from campaigns.delivery.models import Batch, Delivery, DeliveryState
from campaigns.delivery.window_rows import find_waiting, hold_batch, mark_sending, write_settlements
from campaigns.extensions import db

D = DeliveryState
REOPENING = frozenset({D.WAITING, D.DEFERRED})
NOT_HANDED_OVER = "not_handed_over"  # called uncertain, and known not to have left, in a campaign that has ended
BATCH_COLUMNS = (Batch.campaign_id, Batch.number, Batch.first_position, Batch.last_position)

# An expired lease may have left rows in `sending`; they are the sweep's to judge, not the next worker's.
_TAKE_LEASE = text("""
    UPDATE batch SET lease_token = :token, lease_until = :lease_until, worker = :worker, tries = tries + 1
    WHERE campaign_id = :campaign_id AND number = :number AND waiting > 0 AND sending = 0
    AND (lease_token IS NULL OR lease_until < :now)
    AND EXISTS (SELECT 1 FROM campaign WHERE campaign.id = :campaign_id AND campaign.state = 'sending'
                AND (campaign.next_round_at IS NULL OR campaign.next_round_at <= :now))
    RETURNING first_position, last_position
""").bindparams(bindparam("now", type_=UtcDateTime()), bindparam("lease_until", type_=UtcDateTime()))
_RELEASE = text("""
    UPDATE batch SET lease_token = NULL, lease_until = NULL, last_error = :error
    WHERE campaign_id = :campaign_id AND number = :number AND lease_token = :token
    RETURNING sending
""")


class LeaseLost(Exception):
    """The batch is in other hands, or the campaign does not send any more; nothing was claimed."""


def take_lease(campaign_id: int, number: int, *, worker: str, lease_for: timedelta) -> Lease | None:
    """Lease a batch that has somebody waiting and is in nobody's hands; None when there is nothing to do. Commits.

    There is nothing to do either while the campaign's rounds are held: a chord may have been published before that.
    """
    now, token = utcnow(), secrets.token_hex(12)
    values = {"campaign_id": campaign_id, "number": number, "token": token, "worker": worker[:120]}
    row = (
        db.session.connection().execute(_TAKE_LEASE, values | {"now": now, "lease_until": now + lease_for})
    ).one_or_none()
    db.session.commit()
    return Lease(campaign_id, number, row.first_position, row.last_position, token, worker) if row else None


def renew_lease(lease: Lease, *, lease_for: timedelta) -> bool:
    """Hold on to a lease; tells whether it is still ours. Commits."""
    renewed = _touch_batch(lease, lease_until=utcnow() + lease_for)
    db.session.commit()
    return renewed


def settle_and_release(lease: Lease, settlements: Sequence[Settlement], *, error: str | None = None) -> None:
    """Write down the last outcomes of a run and give its batch back, with what went wrong if anything did. Commits.

    The settlements are conditional as in `settle_and_claim`. The holder knows of no other outcome, so a row that is
    still `sending` under its token was claimed by a commit whose answer got lost, and was never handed over: it waits
    again. A repeat changes nothing.
    """
    left = _end_lease(lease, error)
    if left is None:
        lock_batch(lease.campaign_id, lease.number)
    changed = _settle_rows(lease, settlements)
    still_sending = recount(lease) if settlements else left
    if left is not None and still_sending and settle_token(lease, keep=(), state=D.WAITING, reason=None):
        recount(lease)
    if changed:
        sample_rate(lease.campaign_id, settlements)
    db.session.commit()


def settle_and_claim(
    lease: Lease, settlements: Sequence[Settlement], *, size: int, lease_for: timedelta
) -> list[Recipient]:
    """Write down what became of claimed rows and claim up to `size` that wait, in one transaction. Commits.

    The settlements are conditional on the token: a repeat changes nothing, and a worker that lost its lease still tells
    the truth about rows that have been called `uncertain` meanwhile. Claimed rows are `sending` when this
    returns; people who unsubscribed, were suppressed or were deleted since the freeze become `skipped` instead. Returns
    an empty list when nobody waits or `size` is 0. Raises LeaseLost, the settlements committed, when there is no
    claiming any more.
    """
    recipients, skipped = _settle_and_claim_some(lease, settlements, size=size, lease_for=lease_for)
    # A window of nothing but skipped people says nothing about those behind them.
    while skipped and not recipients:
        recipients, skipped = _settle_and_claim_some(lease, (), size=size, lease_for=lease_for)
    return recipients


def _settle_and_claim_some(
    lease: Lease, settlements: Sequence[Settlement], *, size: int, lease_for: timedelta
) -> tuple[list[Recipient], dict[int, str]]:
    may_claim = hold_batch(lease, lease_until=utcnow() + lease_for)
    changed = _settle_rows(lease, settlements)
    recipients, skipped = find_waiting(lease, size) if may_claim and size else ([], {})
    skip(lease.campaign_id, skipped)
    mark_sending(lease, recipients)
    if settlements or recipients or skipped:
        recount(lease)
    if changed:  # a repeat, after a commit whose answer got lost, is no news
        sample_rate(lease.campaign_id, settlements)
    db.session.commit()
    if size and not may_claim:
        raise LeaseLost
    return recipients, skipped


def settle(lease: Lease, settlements: Sequence[Settlement]) -> int:
    """Write down what became of claimed rows, by the rules of `settle_and_claim`; returns how many changed. Commits."""
    lock_batch(lease.campaign_id, lease.number)
    changed = _settle_rows(lease, settlements)
    recount(lease)
    if changed:
        sample_rate(lease.campaign_id, settlements)
    db.session.commit()
    return changed


def settle_rest(lease: Lease, *, keep: Collection[int], state: DeliveryState, reason: str | None) -> int:
    """Settle every row of a dead owner's lease of which it has told no outcome, and end the lease. Commits.

    Positions in `keep` are left as they are. `waiting` is only for rows known not to have been handed over. In a
    campaign that has ended they stay `uncertain`, with that knowledge as their reason.
    """
    lock_batch(lease.campaign_id, lease.number)
    if state is D.WAITING and not _is_open(lease.campaign_id):
        state, reason = D.UNCERTAIN, NOT_HANDED_OVER
    tell_lost(lease, keep=keep, state=state, reason=reason)
    changed = settle_token(lease, keep=keep, state=state, reason=reason)
    _touch_batch(lease, lease_token=None, lease_until=None)
    recount(lease)
    db.session.commit()
    return changed


def abandon_expired(campaign_id: int, number: int) -> int:
    """Take a batch away from a worker that fell silent; what it was sending becomes `uncertain`. Commits.

    Returns how many rows that were. A lease renewed in the meantime wins.
    """
    now = utcnow()
    taken = db.session.execute(
        update(Batch)
        .where(Batch.campaign_id == campaign_id, Batch.number == number)
        .where(or_(Batch.lease_token.is_(None), Batch.lease_until < now))
        .values(lease_token=None, lease_until=None)
        .returning(*BATCH_COLUMNS, Batch.worker)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if taken is None:
        db.session.rollback()
        return 0
    changed = give_up_sending(taken)
    recount(taken)
    db.session.commit()
    return changed


def wake_deferred(campaign_id: int, number: int) -> int:
    """Let deferred rows wait again whose time has come; returns how many. Commits."""
    now = utcnow()
    batch = lock_batch(campaign_id, number)
    result = db.session.execute(
        update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id, Delivery.position.between(batch.first_position, batch.last_position)
        )
        .where(Delivery.state == D.DEFERRED, Delivery.next_attempt_at <= now)
        .values(state=D.WAITING, next_attempt_at=None)
        .execution_options(synchronize_session=False)
    )
    recount(batch)
    db.session.commit()
    return int(result.rowcount)  # type: ignore[attr-defined]


def cancel_waiting(campaign_id: int, number: int) -> int:
    """Mark everybody of a batch who still waits as `cancelled`; returns how many. Commits.

    Nobody, when the campaign is not cancelled any more: it may have been reopened since this was asked for.
    """
    batch = lock_batch(campaign_id, number)
    if not _is_cancelled(campaign_id):
        db.session.rollback()
        return 0
    changed = set_state(batch, from_states=(D.WAITING, D.DEFERRED), state=D.CANCELLED, reason=None)
    recount(batch)
    db.session.commit()
    return changed


def count_ledger(campaign_id: int) -> dict[DeliveryState, int]:
    """Count the ledger itself, row by row: the truth that totals are recorded from."""
    query = select(Delivery.state, func.count()).where(Delivery.campaign_id == campaign_id).group_by(Delivery.state)
    counted = {D(state): number for state, number in db.session.execute(query)}
    return {state: counted.get(state, 0) for state in D}


def _end_lease(lease: Lease, error: str | None) -> int | None:
    """Take the lease off the batch and return how many rows it has in `sending`; None when it is in other hands."""
    values = {"campaign_id": lease.campaign_id, "number": lease.number, "token": lease.token}
    values["error"] = error[:300] if error else None
    sending: int | None = db.session.connection().execute(_RELEASE, values).scalar_one_or_none()
    return sending


def _touch_batch(lease: Lease, **values: Any) -> bool:
    result = db.session.execute(
        update(Batch)
        .where(Batch.campaign_id == lease.campaign_id, Batch.number == lease.number, Batch.lease_token == lease.token)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def _settle_rows(lease: Lease, settlements: Sequence[Settlement]) -> int:
    if not settlements:
        return 0
    if any(settlement.state in REOPENING for settlement in settlements) and _is_closed(lease.campaign_id):
        settlements = [_without_reopening(settlement) for settlement in settlements]
    changed = write_settlements(lease, settlements)
    suppress(lease.campaign_id, settlements)
    return changed


def lock_batch(campaign_id: int, number: int) -> Any:
    """Keep all others out of a batch until the transaction ends; returns it as `recount` takes it."""
    return db.session.execute(
        update(Batch)
        .where(Batch.campaign_id == campaign_id, Batch.number == number)
        .values(number=Batch.number)
        .returning(*BATCH_COLUMNS)
        .execution_options(synchronize_session=False)
    ).one()


def _is_closed(campaign_id: int) -> bool:
    """Tell whether the totals are recorded; until we commit, nobody records them."""
    query = select(Campaign.finished_at).where(Campaign.id == campaign_id).with_for_update(read=True)
    return db.session.scalar(query) is not None


def _is_cancelled(campaign_id: int) -> bool:
    query = select(Campaign.state).where(Campaign.id == campaign_id).with_for_update(read=True)
    return db.session.scalar(query) == CampaignState.CANCELLED


def _without_reopening(settlement: Settlement) -> Settlement:
    """Return what a late outcome means where nothing is tried again: the row may not wait in a closed campaign."""
    if settlement.state is D.WAITING:
        return settlement._replace(state=D.UNCERTAIN, reason=NOT_HANDED_OVER)
    if settlement.state is D.DEFERRED:
        return settlement._replace(state=D.FAILED, next_attempt_at=None)
    return settlement


def _is_open(campaign_id: int) -> bool:
    state = db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))
    return state in {CampaignState.SENDING, CampaignState.PAUSED}
