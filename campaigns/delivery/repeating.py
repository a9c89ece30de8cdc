"""Campaigns that are repeated: on each day of a rule a copy is made and launched, and never two for one date.

The copy, its row and the rule's next time are one transaction; launching it is the next. A process that dies between
the two leaves a copy that the following tick launches, with the same key.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.services import add_copy
from campaigns.config import current_settings
from campaigns.crontab import moments
from campaigns.delivery import states
from campaigns.delivery.copy_guard import note_home
from campaigns.delivery.launch import NOT_AFTER, compile_for_launch
from campaigns.delivery.models import Occurrence, OccurrenceState, Recurrence, RecurrenceState
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.languages import zone

MOST_AT_ONCE: Final = 100  # days made up for, or rather said to be missed, in one tick
DAYS_LOOKED_AHEAD: Final = 500  # rules come once a day at most

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Until when a rule holds: a last day, a number of times, both or neither."""

    until: date | None = None
    times_left: int | None = None


def due_recurrences() -> list[int]:
    """Return ids of repetitions whose time has come."""
    query = select(Recurrence.id).where(Recurrence.state == RecurrenceState.ACTIVE, Recurrence.next_at <= utcnow())
    return list(db.session.scalars(query.order_by(Recurrence.next_at)))


def copy_due(recurrence_id: int, *, not_after: timedelta = NOT_AFTER) -> None:
    """Make the copy of each day that has come, and move the rule on. Commits by day; of two at once one makes it.

    A day that is past by more than `not_after` gets no copy; its row says so.
    """
    for _ in range(MOST_AT_ONCE):
        if not _copy_one(recurrence_id, not_after=not_after):
            return


def leave_out_what_is_past() -> None:
    """Send nothing for days that have come: somewhere else, or before a backup, it may have been sent. Commits."""
    for recurrence_id in due_recurrences():
        copy_due(recurrence_id, not_after=timedelta())
    for recurrence_id, day in copies_to_launch():
        _settle(recurrence_id, day, OccurrenceState.MISSED)


def copies_to_launch() -> list[tuple[int, date]]:
    """Return the days whose copy is made and not launched."""
    query = select(Occurrence.recurrence_id, Occurrence.local_date).where(Occurrence.state == OccurrenceState.COPIED)
    return [(recurrence_id, day) for recurrence_id, day in db.session.execute(query)]


def launch_copy(recurrence_id: int, day: date) -> int | None:
    """Launch the copy of one day as a person would; returns its campaign's id if this call did it, else None. Commits.

    The edge enqueues `end_hold` with the setting's hold as its countdown.
    """
    occurrence = db.session.get(Occurrence, (recurrence_id, day), populate_existing=True)
    if occurrence is None or occurrence.state != OccurrenceState.COPIED:
        return None
    campaign = db.session.get(Campaign, occurrence.campaign_id) if occurrence.campaign_id else None
    if campaign is None or utcnow() > occurrence.planned_at + NOT_AFTER:
        _settle(recurrence_id, day, OccurrenceState.MISSED)
        return None
    by = db.session.scalar(select(Recurrence.started_by_id).where(Recurrence.id == recurrence_id))
    try:
        compiled = compile_for_launch(campaign).to_json()
    except UserError as error:
        _settle(recurrence_id, day, OccurrenceState.FAILED, reason=error.message)
        return None
    return _launch(recurrence_id, day, campaign.id, by=by, compiled=compiled)


def next_days(recurrence: Recurrence, *, count: int) -> list[datetime]:
    """Return the next moments (UTC) at which a copy goes out, the earliest first."""
    if recurrence.next_at is None:
        return []
    times = count if recurrence.times_left is None else min(count, recurrence.times_left)
    limits = Limits(recurrence.until, recurrence.times_left)
    later = _moments(recurrence.id, recurrence.rule, recurrence.zone, after=recurrence.next_at, limits=limits)
    return [recurrence.next_at, *islice(later, max(0, times - 1))][:times]


def next_moment_of(
    recurrence_id: int | None, rule: str, zone_name: str, *, after: datetime, limits: Limits
) -> datetime | None:
    """Return the first moment after `after` on a day that nothing has been done for; None when the rule is over."""
    if limits.times_left is not None and limits.times_left <= 0:
        return None
    return next(_moments(recurrence_id, rule, zone_name, after=after, limits=limits), None)


def day_of(moment: datetime, zone_name: str) -> date:
    """Return the date that a calendar in that zone shows."""
    return moment.astimezone(zone(zone_name)).date()


def advance(recurrence: Recurrence, *, times_left: int | None) -> bool:
    """Move a repetition to its next day, or end it; tells whether this call did. One step of a transaction."""
    assert recurrence.next_at is not None
    limits = Limits(recurrence.until, times_left)
    following = next_moment_of(
        recurrence.id, recurrence.rule, recurrence.zone, after=recurrence.next_at, limits=limits
    )  # fmt: skip
    state = recurrence.state if following else RecurrenceState.ENDED
    won = db.session.execute(
        update(Recurrence)
        .where(Recurrence.id == recurrence.id, Recurrence.state == recurrence.state)
        .where(Recurrence.next_at == recurrence.next_at)
        .values(next_at=following, state=state, times_left=times_left)
        .execution_options(synchronize_session=False)
    )
    if following is None:
        mark_repeated(recurrence.campaign_id, is_repeated=False)
    return bool(won.rowcount == 1)  # type: ignore[attr-defined]


def mark_repeated(campaign_id: int, *, is_repeated: bool) -> None:
    """Note at the campaign whether copies of it go out. One step of a transaction."""
    db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id)
        .values(is_repeated=is_repeated)
        .execution_options(synchronize_session=False)
    )


def _copy_one(recurrence_id: int, *, not_after: timedelta) -> bool:
    """Do what one day asks for; tells whether there may be another."""
    recurrence = db.session.get(Recurrence, recurrence_id, populate_existing=True)
    now = utcnow()
    if recurrence is None or recurrence.state != RecurrenceState.ACTIVE:
        return False
    if recurrence.next_at is None or recurrence.next_at > now:
        return False
    planned_at, is_missed = recurrence.next_at, now > recurrence.next_at + not_after
    day, left = day_of(planned_at, recurrence.zone), recurrence.times_left
    is_done = db.session.get(Occurrence, (recurrence_id, day)) is not None
    if not advance(recurrence, times_left=left if left is None or is_missed or is_done else left - 1):
        db.session.rollback()
        return False
    if is_done:  # the rule was changed while this day's copy was made
        db.session.commit()
        return True
    campaign = db.session.get_one(Campaign, recurrence.campaign_id, populate_existing=True)
    copy = None if is_missed else add_copy(campaign, created_by_id=recurrence.started_by_id)
    state = OccurrenceState.MISSED if is_missed else OccurrenceState.COPIED
    db.session.add(
        Occurrence(
            recurrence_id=recurrence_id, local_date=day, planned_at=planned_at, state=state,
            campaign_id=copy.id if copy else None,
        )
    )  # fmt: skip
    return _commit(recurrence_id, day)


def _commit(recurrence_id: int, day: date) -> bool:
    try:
        db.session.commit()
    except IntegrityError:  # that day has its copy
        db.session.rollback()
        logger.warning("repetition %s has already had its copy for %s", recurrence_id, day)
        return False
    return True


def _launch(recurrence_id: int, day: date, campaign_id: int, *, by: int | None, compiled: dict[str, Any]) -> int | None:
    """Start the hold in the transaction that notes it, so that a copy that was taken back is not launched again."""
    db.session.rollback()
    note_home()
    if not _change(recurrence_id, day, OccurrenceState.LAUNCHED):
        db.session.rollback()
        return None
    key, hold = f"repeat-{recurrence_id}-{day}", current_settings().hold_seconds
    started = states.start(campaign_id, by=by, launch_key=key, hold_seconds=hold, compiled=compiled)
    return campaign_id if started else None


def _settle(recurrence_id: int, day: date, state: OccurrenceState, *, reason: str = "") -> None:
    db.session.rollback()
    _change(recurrence_id, day, state, reason=reason[:300])
    db.session.commit()
    logger.warning("the copy of repetition %s for %s was not launched: %s %s", recurrence_id, day, state, reason)


def _change(recurrence_id: int, day: date, state: OccurrenceState, **values: Any) -> bool:
    changed = db.session.execute(
        update(Occurrence)
        .where(Occurrence.recurrence_id == recurrence_id, Occurrence.local_date == day)
        .where(Occurrence.state == OccurrenceState.COPIED)
        .values(state=state, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount == 1)  # type: ignore[attr-defined]


def _moments(recurrence_id: int | None, rule: str, zone_name: str, *, after: datetime, limits: Limits) -> Any:
    """Yield the moments of a rule on days that nothing has been done for, up to its last day."""
    done = set(
        db.session.scalars(
            select(Occurrence.local_date).where(
                Occurrence.recurrence_id == recurrence_id, Occurrence.local_date >= day_of(after, zone_name)
            )
        )
    )
    for moment in islice(moments(rule, zone(zone_name), after=after), DAYS_LOOKED_AHEAD):
        day = day_of(moment, zone_name)
        if limits.until and day > limits.until:
            return
        if day not in done:
            yield moment
