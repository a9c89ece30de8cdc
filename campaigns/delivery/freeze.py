"""The freeze: the moment the audience becomes rows.

Everybody is a candidate. Who gets nothing is in the ledger too, with the reason, so that the equation
`candidates = excluded + recipients` can be read from it for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias

from sqlalchemy import Select, case, func, insert, literal, null, select, text, union_all, update
from sqlalchemy.sql.elements import ColumnElement

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery.erasing import hold_deletions
from campaigns.delivery.models import Batch, Delivery, DeliveryState, FrozenAudience
from campaigns.extensions import db

BATCH_ROWS_PER_INSERT = 1_000
# A batch costs work of its own besides its mails, so that a large campaign is cut into large ones; a small one into
# many, so that all sending processes share it.
BATCHES_AT_LEAST = 20
SMALLEST_BATCH = 100
Candidates: TypeAlias = Select[int, int, int, str, str, str | None, int]  # rows as the ledger has them at first


@dataclass(frozen=True)
class AudienceCount:
    """How many would be frozen now. `excluded` maps each reason to its number."""

    candidates: int
    recipients: int
    excluded: dict[str, int]


def count_audience() -> AudienceCount:
    """Count who would get an announcement now, with the same rules as the freeze; reads only."""
    reason = _exclusion_reason().label("reason")
    grouped = select(reason, func.count().label("people")).select_from(User).outerjoin(*_suppression()).group_by(reason)
    people: dict[str | None, int] = {row.reason: row.people for row in db.session.execute(grouped)}
    excluded = {reason: number for reason, number in sorted(people.items(), key=lambda item: str(item[0])) if reason}
    return AudienceCount(candidates=sum(people.values()), recipients=people.get(None, 0), excluded=excluded)


def freeze_audience(campaign_id: int) -> FrozenAudience | None:
    """Put every candidate of a preparing campaign in the ledger, cut the recipients into batches, and start sending.

    One transaction: a process that dies half way leaves nothing, and of two at once the second changes nothing. Nobody
    is deleted meanwhile, so that no row is left with the id of nobody. Returns the counts, or None when the campaign
    was not waiting to be frozen. Commits.
    """
    hold_deletions()
    if not _claim(campaign_id):
        db.session.rollback()
        return None
    candidates = _insert_candidates(campaign_id)
    recipients = _last_recipient(campaign_id)
    _insert_batches(campaign_id, recipients)
    audience = FrozenAudience(
        campaign_id=campaign_id, candidates=candidates, excluded=candidates - recipients, recipients=recipients,
        frozen_at=utcnow(),
    )  # fmt: skip
    db.session.add(audience)
    _start_sending(campaign_id)
    db.session.commit()
    return audience


def analyze_new_ledger(rows_added: int) -> None:
    """Let PostgreSQL's planner know of the rows of a freeze when it knows of fewer. Commits; a repeat is harmless.

    It may have looked at the table by itself while none of them was committed. It takes the table for empty then, and
    one index for as good as another: each window would read the whole of the wrong one until it looks again.
    """
    if db.engine.dialect.name == "postgresql":
        known = "SELECT reltuples FROM pg_class WHERE oid = CAST('delivery' AS regclass)"
        if db.session.scalar(text(known)) < rows_added:
            db.session.execute(text("ANALYZE delivery (campaign_id, position, state)"))
        db.session.commit()


def _claim(campaign_id: int) -> bool:
    claimed = db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state == CampaignState.PREPARING, Campaign.frozen_at.is_(None))
        .values(frozen_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return bool(claimed.rowcount == 1)  # type: ignore[attr-defined]


def _start_sending(campaign_id: int) -> None:
    db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id)
        .values(state=CampaignState.SENDING, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def _insert_candidates(campaign_id: int) -> int:
    """Put everybody in the ledger and return how many; within the caller's transaction.

    One statement sees one moment. Between two, PostgreSQL lets others commit: who unsubscribes there would be of both
    kinds, which the ledger refuses, and whose address is verified there of neither.
    """
    columns = ["campaign_id", "position", "user_id", "address", "state", "reason", "attempts"]
    everybody = union_all(_recipients(campaign_id), _excluded(campaign_id))
    statement = insert(Delivery).from_select(columns, everybody, include_defaults=False)
    result = db.session.execute(statement.execution_options(preserve_rowcount=True))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _recipients(campaign_id: int) -> Candidates:
    """Return the rows of those who get it; positions from 1 on, in the order of user ids."""
    position = func.row_number().over(order_by=User.id)
    return _candidates(campaign_id, position, DeliveryState.WAITING, null()).where(_exclusion_reason().is_(None))


def _excluded(campaign_id: int) -> Candidates:
    """Return the rows of those who do not; positions go on after the recipients, in the order of user ids.

    They are counted from the end, where everybody's number is: users are counted quickly, and recipients are not.
    """
    everybody = select(func.count()).select_from(User).scalar_subquery()
    position = everybody + 1 - func.row_number().over(order_by=User.id.desc())
    reason = _exclusion_reason()
    return _candidates(campaign_id, position, DeliveryState.EXCLUDED, reason).where(reason.is_not(None))


def _candidates(
    campaign_id: int, position: ColumnElement[int], state: DeliveryState, reason: ColumnElement[Any]
) -> Candidates:
    columns = literal(campaign_id), position, User.id, User.email, literal(state.value), reason, literal(0)
    return select(*columns).select_from(User).outerjoin(*_suppression())


def _last_recipient(campaign_id: int) -> int:
    """Return the position of the last recipient, which is how many there are; read from the end of the ledger."""
    ours = Delivery.campaign_id == campaign_id, Delivery.state == DeliveryState.WAITING
    return db.session.scalar(select(Delivery.position).where(*ours).order_by(Delivery.position.desc()).limit(1)) or 0


def _exclusion_reason() -> ColumnElement[str | None]:
    """Return why a user gets no announcement, the strongest reason first; NULL for those who get it."""
    return case(
        (Suppression.address_key.is_not(None), "suppressed"),
        (User.unsubscribed_at.is_not(None), "unsubscribed"),
        (User.verified_at.is_(None), "unverified"),
        else_=None,
    )


def _suppression() -> tuple[type[Suppression], ColumnElement[bool]]:
    return Suppression, Suppression.address_key == User.address_key


def _insert_batches(campaign_id: int, recipients: int) -> None:
    rows = list(_batch_rows(campaign_id, recipients, _batch_size(recipients)))
    for start in range(0, len(rows), BATCH_ROWS_PER_INSERT):
        db.session.execute(insert(Batch), rows[start : start + BATCH_ROWS_PER_INSERT])


def _batch_size(recipients: int) -> int:
    wanted = max(SMALLEST_BATCH, ceil(recipients / BATCHES_AT_LEAST))
    return min(wanted, current_settings().batch_size)


def _batch_rows(campaign_id: int, recipients: int, batch_size: int) -> Iterator[dict[str, int]]:
    for number, first in enumerate(range(1, recipients + 1, batch_size), start=1):
        last = min(first + batch_size - 1, recipients)
        yield {
            "campaign_id": campaign_id,
            "number": number,
            "first_position": first,
            "last_position": last,
            "waiting": last - first + 1,
        }
