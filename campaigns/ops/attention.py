"""What the machinery needs a person for, on the dashboard: silent workers, a silent beat, tasks that failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import func, or_, select

from campaigns.audience.models import ImportState, UserImport
from campaigns.audit.queries import find_head
from campaigns.audit.wording import problem_words
from campaigns.celery import BULK, LANES, NOW, WORK
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery.models import Batch
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.ops.heartbeats import Kind, all_heartbeats, has_our_key, host_of
from campaigns.ops.models import FailedTask, Heartbeat
from campaigns.ops.stuck import StuckKind, find_stuck
from campaigns.ops.stuck_words import in_words
from campaigns.ops.wording import lane_words
from campaigns.presentation import format_number
from campaigns.reports.attention import Attention, attention_source
from campaigns.security import Right

SILENT_AFTER = timedelta(seconds=60)
RECENT = timedelta(hours=24)
SAID_ABOVE = {StuckKind.TIMER, StuckKind.LANE, StuckKind.TICK}
MOST_STUCK = 5


@attention_source
def silent_workers() -> Iterable[Attention]:
    """Say that no worker reports, or none of a lane in which something waits."""
    served = {lane for each in _seen_lately(Kind.WORKER) for lane in each.lanes.split(",")}
    if not served:
        yield _trouble(
            _("No worker is running, so nothing is sent."),
            _("Mails and announcements wait until one runs; nothing is lost."),
        )
        return
    for lane in LANES:
        if lane not in served and _anything_waits(lane):
            yield _trouble(
                _("No worker takes this work: %(lane)s.", lane=lane_words(lane)),
                _("Something waits for it, and none has reported for a minute."),
            )


@attention_source
def silent_beat() -> Iterable[Attention]:
    """Say that beat does not report: schedules would be missed."""
    if not _seen_lately(Kind.BEAT):
        yield _trouble(
            _("The timer (beat) is not running."),
            _("Scheduled campaigns do not start, and what a lost worker left behind is not found."),
        )


@attention_source
def other_keys() -> Iterable[Attention]:
    """Name the machines whose SECRET_KEY is not ours: links in the mails that they send would not work."""
    hosts = {host_of(each) for each in _seen_lately(Kind.WORKER) if not has_our_key(each)}
    if hosts:
        yield _trouble(
            _(
                "Workers sign with another secret key than the web site: %(machines)s.",
                machines=", ".join(sorted(hosts)),
            ),
            _("Links in the mails they send do not work. Give all machines the same SECRET_KEY, and start them again."),
        )


@attention_source
def stuck_things() -> Iterable[Attention]:
    """Name what stands still; silent workers and a silent beat have sentences of their own above."""
    for each in [each for each in find_stuck(queues=[]) if each.kind not in SAID_ABOVE][:MOST_STUCK]:
        line = in_words(each)
        text = f"{line.what}: {line.about.text}" if line.about.text else line.what
        yield Attention(text=text, detail=line.advice, url=url_for("ops.jobs", _anchor="stuck"), right=Right.SEE_JOBS)


@attention_source
def failed_tasks() -> Iterable[Attention]:
    """Say how many tasks failed in the last 24 hours that nobody has dealt with."""
    recent = FailedTask.settled_at.is_(None), FailedTask.failed_at >= utcnow() - RECENT
    failed = db.session.scalar(select(func.count()).select_from(FailedTask).where(*recent)) or 0
    if failed:
        yield Attention(
            key="failed tasks",
            text=ngettext(
                "%(number)s task failed in the last 24 hours.",
                "%(number)s tasks failed in the last 24 hours.",
                failed,
                number=format_number(failed),
            ),
            detail=_("See why, and run it again or set it aside."),
            url=url_for("ops.jobs", _anchor="failed"),
            right=Right.SEE_JOBS,
        )


@attention_source
def broken_log() -> Iterable[Attention]:
    """Say that the last check of the activity log found it changed."""
    head = find_head()
    if head and head.problem:
        yield Attention(
            kind="bad",
            text=_("The activity log has been tampered with or damaged."),
            detail=f"{_('The check found this:')} {problem_words(head.problem, head.problem_sequence)}",
            url=url_for("audit.list_entries"),
            right=Right.SEE_AUDIT,
        )


def _trouble(text: str, detail: str) -> Attention:
    return Attention(kind="bad", text=text, detail=detail, url=url_for("ops.jobs"), right=Right.SEE_JOBS)


def _seen_lately(kind: str) -> list[Heartbeat]:
    earliest = utcnow() - SILENT_AFTER
    return [each for each in all_heartbeats() if each.kind == kind and each.seen_at > earliest]


def _anything_waits(lane: str) -> bool:
    """Ask the rows that stand behind the lane's messages: the broker may be away, and a page waits for this."""
    return db.session.scalar(_waiting(utcnow())[lane].limit(1)) is not None


def _waiting(now: datetime) -> dict[str, Any]:
    over = (Campaign.state == CampaignState.STARTING) & (Campaign.hold_until <= now)
    due = (Campaign.state == CampaignState.SCHEDULED) & (Campaign.scheduled_at <= now) & (Campaign.not_after > now)
    prepares = or_(over, due, Campaign.state == CampaignState.PREPARING)
    imports = select(UserImport.id).where(UserImport.state == ImportState.WAITING)
    return {
        NOW: select(OutboxMail.id).where(OutboxMail.state == OutboxState.WAITING, OutboxMail.next_attempt_at <= now),
        BULK: select(Batch.number)
        .join(Campaign, Campaign.id == Batch.campaign_id)
        .where(Campaign.state == CampaignState.SENDING, Batch.waiting > 0),
        WORK: select(Campaign.id).where(prepares).union_all(imports),
    }
