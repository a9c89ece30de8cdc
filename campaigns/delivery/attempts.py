"""What is kept of an attempt that was not accepted, and of a person's decision: added by whoever changes the row.

The conditions are those of the change itself, in the same transaction: a settlement that finds its row in other hands,
or settled as it says already, adds nothing, so a journal that is replayed twice tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, insert, literal, select, text

from campaigns.clock import utcnow
from campaigns.database import UtcDateTime, write_json
from campaigns.delivery.claims import Answer, Lease, Settlement
from campaigns.delivery.models import AttemptOutcome, Delivery, DeliveryAttempt, DeliveryState
from campaigns.extensions import db

D = DeliveryState
LEFT = "left"  # why a row stays uncertain on which a person has decided
NO_ANSWER = Answer("", "", 0, "")

_OUTCOMES = {
    D.DEFERRED: AttemptOutcome.DEFERRED,
    D.FAILED: AttemptOutcome.FAILED,
    D.UNCERTAIN: AttemptOutcome.UNCERTAIN,
    D.WAITING: AttemptOutcome.RETURNED,
}
# A row that this lease has claimed and that is not settled as :state says already. What a person has decided about an
# uncertain mail stands when its worker only tells once more that nobody knows.
_CHANGES = (
    "delivery.campaign_id = :campaign_id AND delivery.token = :token AND delivery.state IN ('sending', 'uncertain') "
    "AND delivery.position = {0}position AND NOT (delivery.state = 'uncertain' AND {0}state = 'uncertain' "
    f"AND coalesce(delivery.reason, '') IN ('{LEFT}', coalesce({{0}}reason, '')))"
)
_SETTLE = (
    "UPDATE delivery SET state = {0}state, reason = {0}reason, reply = {0}reply, next_attempt_at = {0}next_attempt_at, "
    "settled_at = {0}settled_at, attempts = attempts - {0}unburnt"
)
_COLUMNS = (
    "campaign_id, position, at, try_number, outcome, reason, worker, server, phase, code, enhanced, reply, "
    "next_attempt_at, actor"
)

# For SQLite, once for each row and past the compiler, which takes longer over a row's values than SQLite over the row.
_SETTLE_ROW = f"{_SETTLE.format(':')} WHERE {_CHANGES.format(':')}"
# It has one writer: what holds when this looks still holds when the row is changed a moment later.
_TELL_ROW = (
    f"INSERT INTO delivery_attempt ({_COLUMNS}) "  # noqa: S608
    "SELECT delivery.campaign_id, delivery.position, :now, delivery.attempts, :outcome, :reason, :worker, :server, "
    ":phase, :code, :enhanced, :words, :next_attempt_at, '' "
    f"FROM delivery WHERE delivery.user_id IS NOT NULL AND {_CHANGES.format(':')}"
)
# One statement for all of a window, as with those that are accepted. Only rows that were changed are told, and of those
# whose person was deleted meanwhile nothing is: the UPDATE waits for that deletion.
_SETTLE_AND_TELL = text(
    f"""
    WITH answer AS (
        SELECT * FROM jsonb_to_recordset(CAST(:answers AS jsonb)) AS answer(
            position integer, state text, reason text, reply text, next_attempt_at timestamptz, settled_at timestamptz,
            unburnt smallint, outcome text, server text, phase text, code smallint, enhanced text, words text)
    ), changed AS (
        {_SETTLE.format("answer.")} FROM answer
        WHERE delivery.position BETWEEN :first AND :last AND {_CHANGES.format("answer.")}
        RETURNING delivery.position, delivery.user_id, delivery.attempts + answer.unburnt AS try_number
    ), told AS (
        INSERT INTO delivery_attempt ({_COLUMNS})
        SELECT :campaign_id, position, :now, try_number, outcome, reason, :worker, server, phase, code, enhanced, words,
               next_attempt_at, ''
        FROM changed JOIN answer USING (position) WHERE outcome IS NOT NULL AND user_id IS NOT NULL
    )
    SELECT count(*) FROM changed
    """  # noqa: S608
).bindparams(bindparam("now", type_=UtcDateTime()))


def settle_and_tell(lease: Lease, settlements: Sequence[Settlement], now: datetime) -> int:
    """Write outcomes other than an acceptance, and keep what came of each; returns how many rows changed."""
    rows = [_row(settlement, now) for settlement in settlements]
    about = {"campaign_id": lease.campaign_id, "token": lease.token, "worker": lease.worker[:120]}
    connection = db.session.connection()
    if connection.dialect.name == "postgresql":
        values = {"first": lease.first_position, "last": lease.last_position, "answers": _as_json(rows)}
        return int(connection.execute(_SETTLE_AND_TELL, about | values | {"now": now}).scalar_one())
    stored = [{**about, **row, **_stored_times(row), "now": _stored(now)} for row in rows]
    if told := [row for row in stored if row["outcome"]]:
        connection.exec_driver_sql(_TELL_ROW, told)
    return connection.exec_driver_sql(_SETTLE_ROW, stored).rowcount


def tell(
    outcome: AttemptOutcome, *rows: ColumnElement[bool], reason: str | None = None, worker: str = "", actor: str = ""
) -> None:
    """Keep what happens to the rows for which this holds; the caller changes them next, in the same transaction."""
    values = select(
        Delivery.campaign_id, Delivery.position, literal(utcnow(), UtcDateTime()), Delivery.attempts,
        literal(outcome.value), literal(reason, String), literal(worker[:120]), literal(actor[:254]),
        literal(""), literal(""), literal(0), literal(""),
    ).where(Delivery.user_id.is_not(None), *rows)  # fmt: skip
    names = ["campaign_id", "position", "at", "try_number", "outcome", "reason", "worker", "actor", "server", "phase"]
    db.session.execute(insert(DeliveryAttempt).from_select([*names, "code", "enhanced"], values))


def short(reply: str | None) -> str | None:
    """Return a server's words as they are kept."""
    return reply[:300] if reply else None


def _row(settlement: Settlement, now: datetime) -> dict[str, Any]:
    answer = settlement.answer or NO_ANSWER
    return {
        "position": settlement.position,
        "state": settlement.state.value,
        "reason": settlement.reason,
        "reply": short(settlement.reply),
        "next_attempt_at": settlement.next_attempt_at,
        "settled_at": None if settlement.state in {D.WAITING, D.DEFERRED} else now,
        "unburnt": 0 if settlement.counts_as_attempt else 1,
        "outcome": _outcome(settlement),
        "server": answer.server[:260],
        "phase": answer.phase,
        "code": answer.code,
        "enhanced": answer.enhanced,
        "words": short((settlement.reply or "").removesuffix(f" [{answer.server}]")),
    }


def _outcome(settlement: Settlement) -> str | None:
    """Return what is told of a settlement; None for who waits again or is put off without a server having been asked.

    A limit may put off a million people again and again: that says nothing about any of them.
    """
    is_turn = settlement.state is D.DEFERRED and not settlement.counts_as_attempt
    is_untouched = settlement.state is D.WAITING and settlement.reason is None
    return None if is_turn or is_untouched else _OUTCOMES[settlement.state].value


def _stored_times(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: _stored(row[name]) for name in ("next_attempt_at", "settled_at")}


def _stored(at: datetime | None) -> str | None:
    """Return a time as SQLite keeps it (database.UtcDateTime)."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") if at else None


def _as_json(rows: Sequence[dict[str, Any]]) -> str:
    return write_json([{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
