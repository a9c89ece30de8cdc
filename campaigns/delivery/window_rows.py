"""The statements of one window: hold the batch, settle what was answered, find who waits, claim them.

They are built once, with places for values: to build such a statement anew costs several times what it takes to run it,
and that was a fifth of a mail's whole cost. All run inside one transaction of ledger.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, bindparam, case, cast, func, select, text

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.clock import utcnow
from campaigns.compose.models import CampaignState
from campaigns.database import UtcDateTime, write_json
from campaigns.delivery.attempts import settle_and_tell, short
from campaigns.delivery.claims import Lease, Recipient, Settlement
from campaigns.delivery.ledger_rows import DELETED
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.extensions import db

D = DeliveryState
_read_json = json.JSONDecoder().raw_decode  # what the database wrote itself needs no looking for white space around it
USERS, DELIVERY, SUPPRESSION = User.__table__, Delivery.__table__, Suppression.__table__

_HOLD = text("""
    UPDATE batch
    SET lease_until = CASE WHEN lease_token = :token THEN :lease_until ELSE lease_until END
    WHERE campaign_id = :campaign_id AND number = :number
    RETURNING lease_token = :token AS is_ours,
              (SELECT state FROM campaign WHERE campaign.id = batch.campaign_id) AS campaign_state
""").bindparams(bindparam("lease_until", type_=UtcDateTime()))

_SKIP_REASON = case(
    (USERS.c.id.is_(None), DELETED),
    (SUPPRESSION.c.address_key.is_not(None), "suppressed"),
    (USERS.c.unsubscribed_at.is_not(None), "unsubscribed"),
    else_=None,
)
# Attributes as text: the driver takes twice as long to make them what they mean.
_WAITING = (
    select(
        DELIVERY.c.position, DELIVERY.c.user_id, DELIVERY.c.address, DELIVERY.c.attempts, USERS.c.name,
        func.coalesce(USERS.c.language, ""), cast(USERS.c.attributes, Text), _SKIP_REASON,
    )
    .outerjoin_from(DELIVERY, USERS, USERS.c.id == DELIVERY.c.user_id)
    .outerjoin(SUPPRESSION, SUPPRESSION.c.address_key == USERS.c.address_key)
    .where(DELIVERY.c.campaign_id == bindparam("campaign_id"), DELIVERY.c.state == D.WAITING.value)
    .where(DELIVERY.c.position.between(bindparam("first"), bindparam("last")))
    .order_by(DELIVERY.c.position)
    .limit(bindparam("size"))
)  # fmt: skip

_CLAIM = text("""
    UPDATE delivery SET state = 'sending', token = :token, attempts = attempts + 1
    WHERE campaign_id = :campaign_id AND state = 'waiting' AND position BETWEEN :first AND :last
""")

_OURS = "delivery.campaign_id = :campaign_id AND delivery.token = :token AND delivery.state IN ('sending', 'uncertain')"
# What nearly every mail becomes is constant but for the server's words.
_SENT = "state = 'sent', reason = NULL, next_attempt_at = NULL, settled_at = :now"
_NOW = bindparam("now", type_=UtcDateTime())
_SENT_ROW = text(
    f"UPDATE delivery SET {_SENT}, reply = :reply WHERE {_OURS} AND delivery.position = :position"  # noqa: S608
).bindparams(_NOW)
# One statement for a whole window: a statement for each row costs three times as much. Each row looks its answer up in
# one JSON object. Answers joined as a table would make the planner guess how many they are, and for the plan that it
# keeps for all windows it guesses so few that it may go through all of them for each row.
_SENT_WINDOW = text(
    f"""
    WITH said AS MATERIALIZED (SELECT CAST(:replies AS jsonb) AS replies)
    UPDATE delivery SET {_SENT}, reply = (SELECT replies FROM said) ->> CAST(position AS text)
    WHERE {_OURS} AND position BETWEEN :first AND :last AND (SELECT replies FROM said) ? CAST(position AS text)
    """  # noqa: S608
).bindparams(_NOW)


def hold_batch(lease: Lease, *, lease_until: datetime) -> bool:
    """Lock the batch's row, and hold on to the lease if it is ours; tells whether we may claim in it."""
    values = {"campaign_id": lease.campaign_id, "number": lease.number, "token": lease.token}
    row = db.session.connection().execute(_HOLD, values | {"lease_until": lease_until}).one()
    return bool(row.is_ours) and row.campaign_state == CampaignState.SENDING


def find_waiting(lease: Lease, size: int) -> tuple[list[Recipient], dict[int, str]]:
    """Return of up to `size` rows that wait those to be claimed, in order, and why the others are to be skipped."""
    values = {"campaign_id": lease.campaign_id, "first": lease.first_position, "last": lease.last_position}
    rows = db.session.connection().execute(_WAITING, values | {"size": size})
    recipients: list[Recipient] = []
    skipped: dict[int, str] = {}
    for position, user_id, address, attempts, name, language, attributes, skip_reason in rows:
        if skip_reason:
            skipped[position] = skip_reason
        else:
            values = _read_json(attributes)[0]
            recipients.append(Recipient(position, user_id, address, attempts, name, language, values))
    return recipients, skipped


def mark_sending(lease: Lease, recipients: Sequence[Recipient]) -> None:
    """Claim the rows; only the holder of the batch takes them from `waiting`, so their positions are a range."""
    if recipients:
        values = {"first": recipients[0].position, "last": recipients[-1].position}
        db.session.connection().execute(_CLAIM, _owner(lease) | values)


def write_settlements(lease: Lease, settlements: Sequence[Settlement]) -> int:
    """Write outcomes to rows that carry this lease's token and are not settled; returns how many changed."""
    now = utcnow()
    sent = [settlement for settlement in settlements if settlement.state is D.SENT]
    others = [settlement for settlement in settlements if settlement.state is not D.SENT]
    changed = _write_sent(lease, sent, now) if sent else 0
    return changed + (settle_and_tell(lease, others, now) if others else 0)


def _write_sent(lease: Lease, sent: Sequence[Settlement], now: datetime) -> int:
    connection = db.session.connection()
    fixed = _owner(lease) | {"now": now}
    if connection.dialect.name == "postgresql":
        replies = {settlement.position: short(settlement.reply) for settlement in sent}
        window = {"first": min(replies), "last": max(replies), "replies": write_json(replies)}
        return connection.execute(_SENT_WINDOW, fixed | window).rowcount
    rows = [{**fixed, "position": settlement.position, "reply": short(settlement.reply)} for settlement in sent]
    return connection.execute(_SENT_ROW, rows).rowcount


def _owner(lease: Lease) -> dict[str, Any]:
    return {"campaign_id": lease.campaign_id, "token": lease.token}
