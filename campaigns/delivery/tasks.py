"""Celery shells of the engine: ids in, one call, and what has to follow is enqueued after the commit.

While the database may be a copy (copy_guard.py) none of them sends or starts anything; the sweep finds it all later.
"""

from __future__ import annotations

from typing import Any

from celery import Task, chord, group, shared_task

from campaigns.backlog import find_backlog
from campaigns.celery import BULK, enqueue, lane_length
from campaigns.config import current_settings
from campaigns.delivery import (
    approval,
    copy_guard,
    freeze,
    reconcile,
    reopening,
    repeating,
    rounds,
    schedule,
    sending,
    states,
)
from campaigns.mail.tasks import send_mail


# The freeze and the first round follow in the same task: to publish, fetch and begin another one takes time in which
# nobody is sent to, and what a crash leaves between two steps is found by the sweep, however they are cut.
@shared_task(bind=True, name="delivery.end_hold", max_retries=None, soft_time_limit=1700, time_limit=1800)
def end_hold(self: Task[Any, Any], campaign_id: int) -> None:
    """Freeze the audience when the hold is over, and start; a campaign that was taken back is left alone."""
    if copy_guard.is_held():
        return
    left = states.hold_left(campaign_id)
    if left:
        raise self.retry(countdown=left.total_seconds() + 0.1)
    if find_backlog():
        return  # the sweep asks again
    if _begin(campaign_id):
        freeze_campaign(campaign_id)


@shared_task(name="delivery.freeze_campaign", soft_time_limit=1700, time_limit=1800)
def freeze_campaign(campaign_id: int) -> None:
    """Freeze the audience and start the first round."""
    if not copy_guard.is_held() and (audience := freeze.freeze_audience(campaign_id)):
        _publish_round(campaign_id)
        freeze.analyze_new_ledger(audience.candidates)  # while the first windows are sent


@shared_task(name="delivery.publish_round", soft_time_limit=240, time_limit=300)
def publish_round(campaign_id: int) -> None:
    """Publish one chord: a task for each batch that has somebody waiting, then the totals."""
    if copy_guard.is_held():
        return
    reconcile.wake_due(campaign_id)
    _publish_round(campaign_id)


def _publish_round(campaign_id: int) -> None:
    planned = rounds.plan_round(campaign_id)
    if planned is None:
        rounds.finish(campaign_id)
        return
    totals = record_totals.si(campaign_id, planned.number)
    # A chord whose header fails ends in its errback; both ways lead to the same finaliser.
    totals.on_error(record_totals.si(campaign_id, planned.number))
    chord(group(send_batch.si(campaign_id, number) for number in planned.batches), totals).apply_async()
    rounds.note_published(planned)


@shared_task(name="delivery.send_batch")
def send_batch(campaign_id: int, number: int) -> dict[str, int | str]:
    """Send one batch; no time limit, for a kill between the final dot and the commit is what makes a mail uncertain."""
    if copy_guard.is_held():
        return {"campaign": campaign_id, "batch": number, "settled": 0, "ended": "held"}
    return sending.send_batch(campaign_id, number).as_dict()


@shared_task(name="delivery.record_totals")
def record_totals(campaign_id: int, round_number: int) -> str:
    """Close the campaign when all are settled, or start the next round; counts the ledger, whatever the chord says."""
    rounds.close_round(campaign_id, round_number)
    progress = rounds.finish(campaign_id)
    if progress is rounds.Progress.MORE:
        enqueue(publish_round, campaign_id)
    elif (seconds := rounds.seconds_to_next_turn(campaign_id, round_number)) is not None:
        enqueue(publish_round, campaign_id, countdown=seconds)
    return progress


@shared_task(name="delivery.cancel_rest", soft_time_limit=1700, time_limit=1800)
def cancel_rest(campaign_id: int) -> None:
    """Mark everybody of a cancelled campaign who still waits."""
    reconcile.cancel_rest(campaign_id)


@shared_task(name="delivery.return_rows", soft_time_limit=1700, time_limit=1800)
def return_rows(campaign_id: int, rest: str) -> None:
    """Let some of an ended campaign's people wait again, and send to them."""
    if not copy_guard.is_held() and reopening.return_rows(campaign_id, reopening.Rest(rest)):
        enqueue(publish_round, campaign_id)


@shared_task(name="delivery.launch_due", soft_time_limit=30, time_limit=60)
def launch_due() -> None:
    """Start campaigns whose scheduled time has come; of two ticks at once, one wins each campaign."""
    if copy_guard.is_held() or find_backlog():
        return
    for campaign_id in schedule.due_campaigns():
        if _begin(campaign_id):
            enqueue(freeze_campaign, campaign_id)


@shared_task(name="delivery.repeat_due", soft_time_limit=60, time_limit=90)
def repeat_due() -> None:
    """Copy campaigns that are repeated and whose day has come, and launch the copies; of two ticks, one does each."""
    if copy_guard.is_held():
        return
    for recurrence_id in repeating.due_recurrences():
        repeating.copy_due(recurrence_id)
    for recurrence_id, day in repeating.copies_to_launch():
        if campaign_id := repeating.launch_copy(recurrence_id, day):
            enqueue(end_hold, campaign_id, countdown=current_settings().hold_seconds)


@shared_task(name="delivery.reconcile", soft_time_limit=240, time_limit=300)
def reconcile_campaigns() -> None:
    """Find and finish what was left open; a database that may be a copy is left alone."""
    if copy_guard.is_held():
        return
    copy_guard.note_home()
    missing = reconcile.reconcile(broker_is_empty=lane_length(BULK) == 0)
    for campaign_id in missing.holds:
        enqueue(end_hold, campaign_id)
    for campaign_id in missing.freezes:
        enqueue(freeze_campaign, campaign_id)
    for campaign_id in missing.rounds:
        enqueue(publish_round, campaign_id)
    for campaign_id, rest in missing.reopenings:
        enqueue(return_rows, campaign_id, rest)


def _begin(campaign_id: int) -> bool:
    """Start a campaign whose time has come, unless a second person has to approve it; tells whether to freeze it."""
    mail_ids = approval.stop_unapproved(campaign_id)
    for mail_id in mail_ids or ():
        enqueue(send_mail, mail_id)
    return mail_ids is None and states.begin_preparing(campaign_id)
