"""The freeze: the moment the audience becomes rows.

Everybody is a candidate. Who gets nothing is in the ledger too, with the reason, so that the equation
`candidates = excluded + recipients` can be read from it for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from sqlalchemy import Select, case, func, insert, literal, null, select, update
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
# A batch costs work of its own besides its mails, so that a large campaign is cut into large ones; a small
# one into many, for one batch is sent over one connection, and a relay far away is slow on each.
BATCHES_AT_LEAST = 20
SMALLEST_BATCH = 100


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
    recipients = _insert(_candidates(campaign_id, excluded=False, after=0))
    excluded = _insert(_candidates(campaign_id, excluded=True, after=recipients))
    _insert_batches(campaign_id, recipients)
    audience = FrozenAudience(
        campaign_id=campaign_id, candidates=recipients + excluded, excluded=excluded, recipients=recipients,
        frozen_at=utcnow(),
    )  # fmt: skip
    db.session.add(audience)
    _start_sending(campaign_id)
    db.session.commit()
    return audience


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


def _insert(candidates: Select[tuple[object, ...]]) -> int:
    columns = ["campaign_id", "position", "user_id", "address", "state", "reason", "attempts"]
    statement = insert(Delivery).from_select(columns, candidates, include_defaults=False)
    result = db.session.execute(statement.execution_options(preserve_rowcount=True))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _candidates(campaign_id: int, *, excluded: bool, after: int) -> Select[tuple[object, ...]]:
    """Return the rows of one kind of candidate; positions go on after `after`, in the order of user ids."""
    reason = _exclusion_reason()
    state = DeliveryState.EXCLUDED if excluded else DeliveryState.WAITING
    return (
        select(
            literal(campaign_id),
            func.row_number().over(order_by=User.id) + after,
            User.id,
            User.email,
            literal(state.value),
            reason if excluded else null(),
            literal(0),
        )
        .select_from(User)
        .outerjoin(*_suppression())
        .where(reason.is_not(None) if excluded else reason.is_(None))
    )


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
