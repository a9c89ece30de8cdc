"""The ledger's statements on rows: each runs inside a transaction of ledger.py that holds the batch's row.

Those of every window, which run once for each few hundred mails, are in window_rows.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression, SuppressionReason
from campaigns.clock import utcnow
from campaigns.database import UtcDateTime
from campaigns.delivery.attempts import tell
from campaigns.delivery.claims import Lease, Settlement
from campaigns.delivery.models import AttemptOutcome, Delivery, DeliveryState
from campaigns.extensions import db

D = DeliveryState
RATE_WINDOW_SECONDS = 10
DELETED = "deleted"  # why a row is skipped whose person is there no more
WORKER_LOST = "worker_lost"  # why a row is uncertain whose owner fell silent before it told an outcome
COUNTED = (D.WAITING, D.SENDING, D.SENT, D.FAILED, D.DEFERRED, D.UNCERTAIN, D.SKIPPED, D.CANCELLED)


_RECOUNT = text(f"""
    UPDATE batch SET (next_attempt_at, {", ".join(COUNTED)}) = (
        SELECT min(next_attempt_at) FILTER (WHERE state = 'deferred'),
               {", ".join(f"count(*) FILTER (WHERE state = '{state}')" for state in COUNTED)}
        FROM delivery
        WHERE delivery.campaign_id = batch.campaign_id
        AND delivery.position BETWEEN batch.first_position AND batch.last_position)
    WHERE campaign_id = :campaign_id AND number = :number
    RETURNING sending
""")  # noqa: S608 - made of our own names of states
_SAMPLE_RATE = text("""
    INSERT INTO rate_sample (campaign_id, window_start, sent, failed)
    VALUES (:campaign_id, :window_start, :sent, :failed)
    ON CONFLICT (campaign_id, window_start)
    DO UPDATE SET sent = rate_sample.sent + excluded.sent, failed = rate_sample.failed + excluded.failed
""").bindparams(bindparam("window_start", type_=UtcDateTime()))


def skip(campaign_id: int, reasons: dict[int, str]) -> None:
    """Settle rows that wait as skipped, each for its reason.

    Who is deleted leaves their rows at that moment; one that a process of an earlier version froze just then, now.
    """
    for position, reason in reasons.items():
        left = {"user_id": None} if reason == DELETED else {}
        db.session.execute(
            update(Delivery)
            .where(Delivery.campaign_id == campaign_id, Delivery.position == position, Delivery.state == D.WAITING)
            .values(state=D.SKIPPED, reason=reason, settled_at=utcnow(), **left)
            .execution_options(synchronize_session=False)
        )


def settle_token(lease: Lease, *, keep: Collection[int], state: DeliveryState, reason: str | None) -> int:
    """Move every row of this lease of which nobody has told an outcome, but those in `keep`; returns how many.

    These are the rows still in `sending`, and those that were called `uncertain` only because their owner fell silent.
    A row that its owner itself has called `uncertain` was handed over, and is never among them.
    """
    result = db.session.execute(
        update(Delivery)
        .where(*_untold(lease, keep))
        .values(
            state=state,
            reason=reason,
            settled_at=None if state is D.WAITING else utcnow(),
            attempts=Delivery.attempts - (1 if state is D.WAITING else 0),
        )
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def tell_lost(lease: Lease, *, keep: Collection[int], state: DeliveryState, reason: str | None) -> None:
    """Keep what an owner's death does to the rows that `settle_token` is about to move."""
    rows = _untold(lease, keep)
    if state is D.WAITING:
        tell(AttemptOutcome.RETURNED, *rows, reason=WORKER_LOST, worker=lease.worker)
    else:
        is_news = or_(Delivery.state == D.SENDING, Delivery.reason != reason)
        tell(AttemptOutcome.UNCERTAIN, *rows, is_news, reason=reason, worker=lease.worker)


def suppress(campaign_id: int, settlements: Sequence[Settlement]) -> None:
    bad = [settlement for settlement in settlements if settlement.suppresses]
    for settlement in bad:
        key = (
            select(User.address_key)
            .join(Delivery, Delivery.user_id == User.id)
            .where(Delivery.campaign_id == campaign_id, Delivery.position == settlement.position)
        )
        address_key = db.session.scalar(key)
        if address_key:
            _insert_ignoring(
                Suppression, ["address_key"], address_key=address_key, reason=SuppressionReason.HARD_BOUNCE,
                detail=(settlement.reply or "")[:300], created_at=utcnow(),
            )  # fmt: skip


def recount(batch: Any) -> int:
    """Write the ledger's counts to a batch (or a lease on one); the caller holds the batch's row.

    Returns how many of its rows are `sending`.
    """
    values = {"campaign_id": batch.campaign_id, "number": batch.number}
    sending: int = db.session.connection().execute(_RECOUNT, values).scalar_one()
    return sending


def set_state(batch: Any, *, from_states: tuple[D, ...], state: D, reason: str | None) -> int:
    """Move every row of a batch that is in one of some states to another; returns how many changed."""
    result = db.session.execute(
        update(Delivery)
        .where(*_in_states(batch, from_states))
        .values(state=state, reason=reason, next_attempt_at=None, settled_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def give_up_sending(batch: Any) -> int:
    """Call uncertain what a worker was sending that fell silent; returns how many rows."""
    tell(AttemptOutcome.UNCERTAIN, *_in_states(batch, (D.SENDING,)), reason=WORKER_LOST, worker=batch.worker or "")
    return set_state(batch, from_states=(D.SENDING,), state=D.UNCERTAIN, reason=WORKER_LOST)


def sample_rate(campaign_id: int, settlements: Sequence[Settlement]) -> None:
    """Add to the window of this moment; all runs of a campaign do, so it comes shortly before the commit."""
    sent = sum(settlement.state is D.SENT for settlement in settlements)
    failed = sum(settlement.state is D.FAILED for settlement in settlements)
    if not sent and not failed:
        return
    now = utcnow()
    window = now.replace(second=now.second - now.second % RATE_WINDOW_SECONDS, microsecond=0)
    values = {"campaign_id": campaign_id, "window_start": window, "sent": sent, "failed": failed}
    db.session.connection().execute(_SAMPLE_RATE, values)


def _untold(lease: Lease, keep: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    given_up = and_(Delivery.state == D.UNCERTAIN, Delivery.reason == WORKER_LOST)
    return (
        Delivery.campaign_id == lease.campaign_id, Delivery.token == lease.token,
        Delivery.position.between(lease.first_position, lease.last_position),
        or_(Delivery.state == D.SENDING, given_up), Delivery.position.not_in(keep),
    )  # fmt: skip


def _in_states(batch: Any, states: tuple[D, ...]) -> tuple[ColumnElement[bool], ...]:
    within = Delivery.position.between(batch.first_position, batch.last_position)
    return Delivery.campaign_id == batch.campaign_id, within, Delivery.state.in_(states)


def _insert_ignoring(model: type[Any], keys: list[str], **values: Any) -> None:
    db.session.execute(_insert(model).values(**values).on_conflict_do_nothing(index_elements=keys))


def _insert(model: type[Any]) -> Any:
    dialect = sqlite if db.engine.dialect.name == "sqlite" else postgresql
    return dialect.insert(model)
