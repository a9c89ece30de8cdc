"""The ledger's statements on rows: each runs inside a transaction of ledger.py that holds the batch's row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression, SuppressionReason
from campaigns.clock import utcnow
from campaigns.database import UtcDateTime
from campaigns.delivery.claims import Lease, Recipient, Settlement
from campaigns.delivery.models import Batch, Delivery, DeliveryState, RateSample
from campaigns.extensions import db

D = DeliveryState
RATE_WINDOW_SECONDS = 10
WORKER_LOST = "worker_lost"  # why a row is uncertain whose owner fell silent before it told an outcome
LEFT = "left"  # why a row stays uncertain on which a person has decided
COUNTED = (D.WAITING, D.SENDING, D.SENT, D.FAILED, D.DEFERRED, D.UNCERTAIN, D.SKIPPED, D.CANCELLED)


def waiting_rows(lease: Lease, size: int) -> Sequence[Any]:
    skip_reason = case(
        (User.id.is_(None), "deleted"),
        (Suppression.address_key.is_not(None), "suppressed"),
        (User.unsubscribed_at.is_not(None), "unsubscribed"),
        else_=None,
    )
    query = (
        select(
            Delivery.position, Delivery.address, Delivery.attempts, Delivery.user_id, User.name, User.language,
            User.attributes, skip_reason.label("skip_reason"),
        )
        .outerjoin(User, User.id == Delivery.user_id)
        .outerjoin(Suppression, Suppression.address_key == User.address_key)
        .where(Delivery.campaign_id == lease.campaign_id)
        .where(Delivery.position.between(lease.first_position, lease.last_position), Delivery.state == D.WAITING)
        .order_by(Delivery.position)
        .limit(size)
    )  # fmt: skip
    return db.session.execute(query).all()


def recipient_of(row: Any) -> Recipient:
    return Recipient(row.position, row.user_id, row.address, row.attempts, row.name, row.language or "", row.attributes)


def skip(campaign_id: int, reasons: dict[int, str]) -> None:
    for position, reason in reasons.items():
        db.session.execute(
            update(Delivery)
            .where(Delivery.campaign_id == campaign_id, Delivery.position == position, Delivery.state == D.WAITING)
            .values(state=D.SKIPPED, reason=reason, settled_at=utcnow())
            .execution_options(synchronize_session=False)
        )


def mark_sending(lease: Lease, recipients: Sequence[Recipient]) -> None:
    """Claim the rows; only the holder of the batch takes them from `waiting`, so their positions are a range."""
    if not recipients:
        return
    db.session.execute(
        update(Delivery)
        .where(Delivery.campaign_id == lease.campaign_id, Delivery.state == D.WAITING)
        .where(Delivery.position.between(recipients[0].position, recipients[-1].position))
        .values(state=D.SENDING, token=lease.token, attempts=Delivery.attempts + 1)
        .execution_options(synchronize_session=False)
    )


def write_settlements(lease: Lease, settlements: Sequence[Settlement]) -> int:
    """Write outcomes to rows that carry this lease's token and are not settled; returns how many changed."""
    rows = [_settled_row(settlement) for settlement in settlements]
    connection = db.session.connection()
    if connection.dialect.name == "postgresql":
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        range_of_positions = {"first": lease.first_position, "last": lease.last_position}
        fixed = {"campaign_id": lease.campaign_id, "token": lease.token}
        result = connection.execute(_SETTLE_ARRAYS, fixed | range_of_positions | columns)
    else:
        fixed = {"campaign_id": lease.campaign_id, "token": lease.token}
        result = connection.execute(_SETTLE_ROW, [fixed | row for row in rows])
    return int(result.rowcount)


def settle_token(lease: Lease, *, keep: Collection[int], state: DeliveryState, reason: str | None) -> int:
    """Move every row of this lease of which nobody has told an outcome, but those in `keep`; returns how many.

    These are the rows still in `sending`, and those that were called `uncertain` only because their owner fell silent.
    A row that its owner itself has called `uncertain` was handed over, and is never among them.
    """
    given_up = and_(Delivery.state == D.UNCERTAIN, Delivery.reason == WORKER_LOST)
    result = db.session.execute(
        update(Delivery)
        .where(Delivery.campaign_id == lease.campaign_id, Delivery.token == lease.token)
        .where(Delivery.position.between(lease.first_position, lease.last_position))
        .where(or_(Delivery.state == D.SENDING, given_up), Delivery.position.not_in(keep))
        .values(
            state=state,
            reason=reason,
            settled_at=None if state is D.WAITING else utcnow(),
            attempts=Delivery.attempts - (1 if state is D.WAITING else 0),
        )
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


_SETTLED = """
    state = {state}, reason = {reason}, reply = {reply}, next_attempt_at = {next_attempt_at},
    settled_at = {settled_at}, attempts = delivery.attempts - {unburnt}
"""
_OURS = "delivery.campaign_id = :campaign_id AND delivery.token = :token AND delivery.state IN ('sending', 'uncertain')"
_COLUMNS = ("position", "state", "reason", "reply", "next_attempt_at", "settled_at", "unburnt")
_TYPES = ("integer", "text", "text", "text", "timestamptz", "timestamptz", "integer")

# One statement for a whole window: arrays cost PostgreSQL a third of what a statement for each row does. It reads the
# batch's range of the index because it is told to; joined by the arrays alone, it reads the whole table every time when
# nobody has analysed it since the freeze.
_SETTLE_ARRAYS = text(
    f"UPDATE delivery SET {_SETTLED.format(**{name: f'v.{name}' for name in _COLUMNS})} FROM unnest("  # noqa: S608
    + ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in zip(_COLUMNS, _TYPES, strict=True))
    + f") AS v({', '.join(_COLUMNS)}) WHERE {_OURS} AND delivery.position = v.position "
    + "AND delivery.position BETWEEN :first AND :last"
)
_SETTLE_ROW = text(
    f"UPDATE delivery SET {_SETTLED.format(**{name: f':{name}' for name in _COLUMNS})} "  # noqa: S608
    f"WHERE {_OURS} AND delivery.position = :position"
).bindparams(bindparam("next_attempt_at", type_=UtcDateTime()), bindparam("settled_at", type_=UtcDateTime()))


def _settled_row(settlement: Settlement) -> dict[str, Any]:
    is_final = settlement.state not in {D.WAITING, D.DEFERRED}
    return {
        "position": settlement.position,
        "state": settlement.state.value,
        "reason": settlement.reason,
        "reply": settlement.reply[:300] if settlement.reply else None,
        "next_attempt_at": settlement.next_attempt_at,
        "settled_at": utcnow() if is_final else None,
        "unburnt": 0 if settlement.counts_as_attempt else 1,
    }


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


def recount(batch: Any) -> None:
    """Write the ledger's counts to a batch (or a lease on one); the caller holds the batch's row."""
    rows = db.session.execute(
        select(Delivery.state, func.count(), func.min(Delivery.next_attempt_at))
        .where(Delivery.campaign_id == batch.campaign_id)
        .where(Delivery.position.between(batch.first_position, batch.last_position))
        .group_by(Delivery.state)
    ).all()
    counts = dict.fromkeys((state.value for state in COUNTED), 0) | {state: number for state, number, _ in rows}
    next_attempt_at = next((earliest for state, _, earliest in rows if state == D.DEFERRED), None)
    db.session.execute(
        update(Batch)
        .where(Batch.campaign_id == batch.campaign_id, Batch.number == batch.number)
        .values(next_attempt_at=next_attempt_at, **counts)
        .execution_options(synchronize_session=False)
    )


def set_state(batch: Any, *, from_states: tuple[D, ...], state: D, reason: str | None) -> int:
    """Move every row of a batch that is in one of some states to another; returns how many changed."""
    result = db.session.execute(
        update(Delivery)
        .where(Delivery.campaign_id == batch.campaign_id)
        .where(Delivery.position.between(batch.first_position, batch.last_position))
        .where(Delivery.state.in_(from_states))
        .values(state=state, reason=reason, next_attempt_at=None, settled_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def sample_rate(campaign_id: int, settlements: Sequence[Settlement]) -> None:
    sent = sum(settlement.state is D.SENT for settlement in settlements)
    failed = sum(settlement.state is D.FAILED for settlement in settlements)
    if not sent and not failed:
        return
    now = utcnow()
    window = now.replace(second=now.second - now.second % RATE_WINDOW_SECONDS, microsecond=0)
    statement = _insert(RateSample).values(campaign_id=campaign_id, window_start=window, sent=sent, failed=failed)
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["campaign_id", "window_start"],
            set_={
                "sent": RateSample.sent + statement.excluded.sent,
                "failed": RateSample.failed + statement.excluded.failed,
            },
        ).execution_options(synchronize_session=False)
    )


def _insert_ignoring(model: type[Any], keys: list[str], **values: Any) -> None:
    db.session.execute(_insert(model).values(**values).on_conflict_do_nothing(index_elements=keys))


def _insert(model: type[Any]) -> Any:
    dialect = sqlite if db.engine.dialect.name == "sqlite" else postgresql
    return dialect.insert(model)
