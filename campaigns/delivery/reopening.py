"""After a campaign has ended: settling what is uncertain, and sending to some who did not get it after all.

    sent, cancelled → paused (with the reason) → rows wait again, batch by batch → sending → sent

Rows change under their batch's lock and while the campaign is kept from ending, so the equation holds at every instant.
What dies half way leaves a paused campaign: the sweep goes on with it, and so can a person. Who has unsubscribed or
been suppressed since is skipped when it is their turn, as always.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update

from campaigns.audit.queries import entries_about
from campaigns.audit.services import mask, this_actor
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery import states
from campaigns.delivery.approval_mails import Decision
from campaigns.delivery.attempts import LEFT, tell
from campaigns.delivery.brake import resume_past_brake
from campaigns.delivery.ledger import lock_batch
from campaigns.delivery.ledger_rows import recount
from campaigns.delivery.models import AttemptOutcome, Batch, Delivery, DeliveryState
from campaigns.delivery.reopening_requests import Request, open_request
from campaigns.extensions import db
from campaigns.mail.replies import Reason

D = DeliveryState

logger = logging.getLogger(__name__)


class Rest(StrEnum):
    """Who is sent to after all."""

    UNCERTAIN = "uncertain"  # those nobody has decided on; they may get it twice
    FAILED = "failed"  # those whose last refusal was only for the moment
    CANCELLED = "cancelled"  # those a cancel left without the mail

    @property
    def pause_reason(self) -> str:
        """Why the campaign is paused while their rows return."""
        return f"reopened_{self.value}"


# What the activity log calls it when a person sends to them after all.
DEEDS = {
    Rest.UNCERTAIN: "campaign.sent_again",
    Rest.FAILED: "campaign.retried",
    Rest.CANCELLED: "campaign.sent_to_rest",
}
# A cancel and going on after it concern everybody who waited alike: the activity log has them once for all.
TOLD_AS = {Rest.UNCERTAIN: AttemptOutcome.SENT_AGAIN, Rest.FAILED: AttemptOutcome.RETRIED}
PAUSE_REASONS = {rest.pause_reason: rest for rest in Rest}


def count_people(campaign_id: int, rest: Rest) -> int:
    """Return how many people the action would concern now."""
    if rest is Rest.CANCELLED:
        return db.session.scalar(select(func.sum(Batch.cancelled)).where(Batch.campaign_id == campaign_id)) or 0
    return db.session.scalar(_rows(campaign_id, rest).with_only_columns(func.count())) or 0


def count_undecided_of(campaign_ids: Sequence[int]) -> dict[int, int]:
    """Return of many campaigns how many uncertain mails nobody has decided on; those without any are left out."""
    within = Delivery.position.between(Batch.first_position, Batch.last_position)
    query = (
        select(Batch.campaign_id, func.count())
        .join(Delivery, and_(Delivery.campaign_id == Batch.campaign_id, within))
        .where(Batch.campaign_id.in_(campaign_ids), _has(Rest.UNCERTAIN), _are(Rest.UNCERTAIN))
        .group_by(Batch.campaign_id)
    )
    return {row[0]: row[1] for row in db.session.execute(query)} if campaign_ids else {}


def undecided_people(campaign_id: int, *, limit: int) -> list[Delivery]:
    """Return the uncertain on whom nobody has decided, in the order of the ledger."""
    query = _rows(campaign_id, Rest.UNCERTAIN).with_only_columns(Delivery).order_by(Delivery.position)
    return list(db.session.scalars(query.limit(limit)))


def reopen(campaign_id: int, rest: Rest) -> bool:
    """Pause an ended campaign for its rows' return; tells whether they may return now. Commits.

    The edge then enqueues `return_rows`. A repeat says True until the campaign goes on. False for a campaign that has
    not ended, or whose cancel is not through.
    """
    deed = states.Deed(DEEDS[rest], {"people": count_people(campaign_id, rest)})
    request = open_request(campaign_id)
    if states.reopen(campaign_id, reason=rest.pause_reason):
        _end_request(request)
        states.record_deed(campaign_id, deed)
        db.session.commit()
        logger.info("campaign %s was reopened for its %s", campaign_id, rest.value)
        return True
    db.session.rollback()
    paused = select(Campaign.id).where(Campaign.id == campaign_id, Campaign.state == CampaignState.PAUSED)
    return db.session.scalar(paused.where(Campaign.pause_reason == rest.pause_reason)) is not None


def return_rows(campaign_id: int, rest: Rest) -> bool:
    """Let these people wait again, batch by batch, and go on sending; tells whether it goes on by this. Commits.

    Harmless to repeat, and for two at once. It stops where the campaign was closed meanwhile, and does nothing unless
    the campaign was reopened for them.
    """
    if not reopen_is_underway(campaign_id, rest):
        return False
    by = _who_asked(campaign_id, rest)
    for number in list(_batches(campaign_id, rest)):
        if not _return_batch(campaign_id, number, rest, by=by):
            return False
    return resume_past_brake(campaign_id, if_paused_for=rest.pause_reason)


def reopen_is_underway(campaign_id: int, rest: Rest) -> bool:
    """Tell whether the campaign is paused because these people are to wait again."""
    return db.session.scalar(select(Campaign.pause_reason).where(Campaign.id == campaign_id)) == rest.pause_reason


def send_again(campaign_id: int, position: int) -> bool:
    """Let one uncertain person wait again, though they may get the mail twice; tells whether they do. Commits.

    One transaction: a campaign that has ended goes on sending with it; one that a person has paused stays paused.
    """
    batch, request = _lock_batch_of(campaign_id, position), open_request(campaign_id)
    is_open = batch and (states.stay_open(campaign_id) or states.reopen_at_once(campaign_id))
    this_row = Delivery.position == position, Delivery.state == D.UNCERTAIN
    if not is_open or not _let_wait(batch, *this_row, told_as=AttemptOutcome.SENT_AGAIN, by=this_actor().name):
        db.session.rollback()
        return False
    recount(batch)
    _end_request(request)
    states.record_deed(campaign_id, states.Deed("campaign.person_sent_again", _person(campaign_id, position)))
    db.session.commit()
    logger.info("campaign %s: %s is sent to again", campaign_id, position)
    return True


def leave(campaign_id: int, position: int | None = None) -> int:
    """Note that a person has decided to leave an uncertain mail, or all of them, as it is; returns how many. Commits.

    They stay `uncertain`, for that is the truth; should their worker tell the outcome after all, it still counts.
    """
    chosen = () if position is None else (Delivery.position == position,)
    decided, people = 0, 1 if position is not None else count_people(campaign_id, Rest.UNCERTAIN)
    for number in list(_batches(campaign_id, Rest.UNCERTAIN)):
        batch = lock_batch(campaign_id, number)
        tell(AttemptOutcome.LEFT, *_within(batch), _are(Rest.UNCERTAIN), *chosen, actor=this_actor().name)
        changed = _change(batch, _are(Rest.UNCERTAIN), *chosen, reason=LEFT)
        if changed and not decided:
            about = {"people": people} if position is None else _person(campaign_id, position)
            states.record_deed(campaign_id, states.Deed("campaign.uncertain_left", about))
        decided += changed
        db.session.commit()
    return decided


def _end_request(request: Request | None) -> None:
    """Tell whoever had asked for something that the campaign went on without it."""
    if request:
        request.tell(Decision.OVERTAKEN)


def _person(campaign_id: int, position: int) -> dict[str, Any]:
    """Return a recipient for the activity log, which must not keep the address."""
    here = Delivery.campaign_id == campaign_id, Delivery.position == position
    return {"position": position, "person": mask(db.session.scalar(select(Delivery.address).where(*here)) or "")}


def _who_asked(campaign_id: int, rest: Rest) -> str:
    """Return who reopened the campaign, as the activity log has it; the rows come back in a task, or after a crash."""
    asked = entries_about("campaign", campaign_id, [DEEDS[rest]])
    return asked[-1].actor if asked else ""


def _return_batch(campaign_id: int, number: int, rest: Rest, *, by: str = "") -> bool:
    """Let these people of one batch wait again; tells whether the campaign was still open."""
    batch = lock_batch(campaign_id, number)
    if not states.stay_open(campaign_id):
        db.session.rollback()
        return False
    _let_wait(batch, _are(rest), told_as=TOLD_AS.get(rest), by=by)
    recount(batch)
    db.session.commit()
    return True


def _let_wait(batch: Any, *conditions: ColumnElement[bool], told_as: AttemptOutcome | None, by: str) -> int:
    if told_as:
        tell(told_as, *_within(batch), *conditions, actor=by)
    # Without its token the row is nobody's: an outcome that its last owner still tells is not about the next attempt.
    return _change(batch, *conditions, state=D.WAITING, reason=None, token=None, next_attempt_at=None, settled_at=None)


def _change(batch: Any, *conditions: ColumnElement[bool], **values: Any) -> int:
    result = db.session.execute(
        update(Delivery)
        .where(*_within(batch), *conditions)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def _within(batch: Any) -> tuple[ColumnElement[bool], ...]:
    in_range = Delivery.position.between(batch.first_position, batch.last_position)
    return Delivery.campaign_id == batch.campaign_id, in_range


def _lock_batch_of(campaign_id: int, position: int) -> Any:
    number = db.session.scalar(
        select(Batch.number)
        .where(Batch.campaign_id == campaign_id, Batch.first_position <= position, Batch.last_position >= position)
    )  # fmt: skip
    return lock_batch(campaign_id, number) if number is not None else None


def _are(rest: Rest) -> ColumnElement[bool]:
    """Return which rows these are."""
    if rest is Rest.UNCERTAIN:
        return and_(Delivery.state == D.UNCERTAIN, or_(Delivery.reason.is_(None), Delivery.reason != LEFT))
    if rest is Rest.CANCELLED:
        return Delivery.state == D.CANCELLED
    # A server that says 552 to an address means "too many at once", for now (RFC 5321 §4.5.3.1.10).
    too_many = Delivery.reason == Reason.TOO_MANY_RECIPIENTS.value
    for_a_time = or_(Delivery.reply.like("4__"), Delivery.reply.like("4__ %"), too_many)
    return and_(Delivery.state == D.FAILED, for_a_time, Delivery.reason.is_distinct_from(Reason.BAD_ADDRESS.value))


def _rows(campaign_id: int, rest: Rest) -> Select[Any]:
    """Select these rows by their batches, so that of a million only those few batches' rows are read."""
    within = Delivery.position.between(Batch.first_position, Batch.last_position)
    return (
        select(Delivery.position)
        .select_from(Batch)
        .join(Delivery, and_(Delivery.campaign_id == Batch.campaign_id, within))
        .where(Batch.campaign_id == campaign_id, _has(rest), _are(rest))
    )


def _batches(campaign_id: int, rest: Rest) -> Iterator[int]:
    query = select(Batch.number).where(Batch.campaign_id == campaign_id, _has(rest)).order_by(Batch.number)
    yield from db.session.scalars(query)


def _has(rest: Rest) -> ColumnElement[bool]:
    return {Rest.UNCERTAIN: Batch.uncertain, Rest.FAILED: Batch.failed, Rest.CANCELLED: Batch.cancelled}[rest] > 0
