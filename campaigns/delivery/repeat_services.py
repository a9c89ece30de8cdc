"""What people do to a repetition: begin or change it, pause, go on, skip the next day, end it. One transaction each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.queries import get_campaign
from campaigns.compose.titles import campaign_title
from campaigns.delivery.launch import compile_for_launch
from campaigns.delivery.models import Occurrence, OccurrenceState, Recurrence, RecurrenceState
from campaigns.delivery.repeating import Limits, advance, day_of, mark_repeated, next_moment_of
from campaigns.errors import Conflict, UserError
from campaigns.extensions import db


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What the form holds: a rule of five fields, its zone, and until when."""

    rule: str
    zone: str
    limits: Limits


def find_recurrence(campaign_id: int) -> Recurrence | None:
    """Return a campaign's repetition, in any state."""
    query = select(Recurrence).where(Recurrence.campaign_id == campaign_id)
    return db.session.execute(query).scalar_one_or_none()


def repeat_campaign(campaign_id: int, wanted: Repetition, *, by: int | None) -> None:
    """Begin a campaign's repetition, or change its rule; a day that has had its copy gets no second one. Commits.

    Raises NotFound, and UserError when its content cannot be sent or the rule never comes.
    """
    campaign = get_campaign(campaign_id)
    compile_for_launch(campaign)
    known = find_recurrence(campaign_id)
    recurrence = known or Recurrence(campaign_id=campaign_id)
    recurrence.next_at = next_moment_of(
        recurrence.id, wanted.rule, wanted.zone, after=utcnow(), limits=wanted.limits
    )  # fmt: skip
    if recurrence.next_at is None:
        db.session.rollback()
        raise UserError(_("No day is left before the end that you chose."))
    before = {"rule": known.rule, "zone": known.zone} if known else {}
    recurrence.rule, recurrence.zone = wanted.rule, wanted.zone
    recurrence.until, recurrence.times_left = wanted.limits.until, wanted.limits.times_left
    recurrence.state, recurrence.started_by_id = RecurrenceState.ACTIVE, by
    db.session.add(recurrence)
    mark_repeated(campaign_id, is_repeated=True)
    _note("campaign.repeated", campaign, before=before, after={"rule": wanted.rule, "zone": wanted.zone})
    try:
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict(_("Somebody else has just set up this repetition. Look at it first.")) from error


def pause_repetition(campaign_id: int) -> bool:
    """Send no more copies until somebody goes on; tells whether this call did it. Commits."""
    return _move(campaign_id, RecurrenceState.ACTIVE, "campaign.repetition_paused", state=RecurrenceState.PAUSED)


def resume_repetition(campaign_id: int) -> bool:
    """Go on with the next day from now; days that passed meanwhile are not made up for. Commits."""
    recurrence = find_recurrence(campaign_id)
    if recurrence is None or recurrence.state != RecurrenceState.PAUSED:
        return False
    limits = Limits(recurrence.until, recurrence.times_left)
    next_at = next_moment_of(recurrence.id, recurrence.rule, recurrence.zone, after=utcnow(), limits=limits)
    if next_at is None:
        return end_repetition(campaign_id)
    values = {"state": RecurrenceState.ACTIVE, "next_at": next_at}
    return _move(campaign_id, RecurrenceState.PAUSED, "campaign.repetition_resumed", **values)


def skip_next(campaign_id: int) -> bool:
    """Leave out the next day; tells whether this call did it. Commits."""
    recurrence = find_recurrence(campaign_id)
    if recurrence is None or recurrence.state != RecurrenceState.ACTIVE or recurrence.next_at is None:
        return False
    planned_at = recurrence.next_at
    day, recurrence_id = day_of(planned_at, recurrence.zone), recurrence.id
    if not advance(recurrence, times_left=recurrence.times_left):
        db.session.rollback()
        return False
    db.session.add(
        Occurrence(
            recurrence_id=recurrence_id, local_date=day, planned_at=planned_at, state=OccurrenceState.SKIPPED
        )
    )  # fmt: skip
    _note("campaign.repetition_skipped", get_campaign(campaign_id), after={"date": day.isoformat()})
    try:
        db.session.commit()
    except IntegrityError:  # that day has just had its copy
        db.session.rollback()
        return False
    return True


def end_repetition(campaign_id: int) -> bool:
    """Send no more copies for good; tells whether this call did it. Commits."""
    recurrence = find_recurrence(campaign_id)
    if recurrence is None or recurrence.state == RecurrenceState.ENDED:
        return False
    mark_repeated(campaign_id, is_repeated=False)
    origin = RecurrenceState(recurrence.state)
    return _move(campaign_id, origin, "campaign.repetition_ended", state=RecurrenceState.ENDED, next_at=None)


def _move(campaign_id: int, origin: RecurrenceState, action: str, **values: Any) -> bool:
    moved = db.session.execute(
        update(Recurrence)
        .where(Recurrence.campaign_id == campaign_id, Recurrence.state == origin)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        return False
    _note(action, get_campaign(campaign_id))
    db.session.commit()
    return True


def _note(
    action: str, campaign: Campaign, *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> None:
    target = Target("campaign", campaign.id, campaign_title(campaign))
    record_action(action, target, before=before, after=after)
