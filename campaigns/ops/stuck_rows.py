"""What stands still although rows say that it should move: campaigns, leases, imports, single mails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, or_, select

from campaigns.audience.models import ImportState, UserImport
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery.models import Batch, RateSample, Round
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.ops.task_objects import TaskObject, campaign_object, import_object, mail_words

MAIL_OLD_AFTER = timedelta(minutes=10)
MOST_OF_A_KIND = 50


@dataclass(frozen=True)
class Found:
    """One thing that stands still; `kind` is a StuckKind."""

    kind: str
    since: datetime | None
    about: TaskObject
    worker: str = ""
    count: int = 1


def find_stuck_rows(after: timedelta) -> Iterator[Found]:
    """Yield what has not moved for `after`. Reads a few rows of each table."""
    yield from _late_campaigns(after)
    yield from _old_freezes(after)
    yield from _idle_campaigns(after)
    yield from _expired_leases(after)
    yield from _idle_imports(after)
    yield from _old_mails()


def _late_campaigns(after: timedelta) -> Iterator[Found]:
    """Yield launches whose hold, and schedules whose time, passed without anything beginning."""
    now = utcnow()
    over = and_(Campaign.state == CampaignState.STARTING, Campaign.hold_until <= now - after)
    is_due = and_(Campaign.scheduled_at <= now - after, Campaign.not_after > now)
    due = and_(Campaign.state == CampaignState.SCHEDULED, is_due)
    moment = func.coalesce(Campaign.hold_until, Campaign.scheduled_at)
    for campaign_id, since in db.session.execute(select(Campaign.id, moment).where(or_(over, due))):
        yield Found("campaign_late", since, campaign_object(campaign_id))


def _old_freezes(after: timedelta) -> Iterator[Found]:
    old = and_(Campaign.state == CampaignState.PREPARING, Campaign.updated_at <= utcnow() - after)
    for campaign_id, since in db.session.execute(select(Campaign.id, Campaign.updated_at).where(old)):
        yield Found("freeze", since, campaign_object(campaign_id))


def _idle_campaigns(after: timedelta) -> Iterator[Found]:
    """Yield campaigns with people who could be sent to now, while no living worker has a batch and nothing went out."""
    now = utcnow()
    leased = select(Batch.number).where(Batch.campaign_id == Campaign.id, Batch.lease_until >= now).exists()
    due = and_(Batch.deferred > 0, Batch.next_attempt_at <= now - after)
    open_ones = select(Batch.number).where(Batch.campaign_id == Campaign.id)
    someone = open_ones.where(or_(Batch.waiting > 0, Batch.sending > 0, due)).exists()
    # While the mail server refuses us, the campaign waits on purpose, and says so on its own page.
    waits = and_(Campaign.next_round_at.is_not(None), Campaign.next_round_at > now - after)
    query = select(Campaign.id, Campaign.updated_at).where(
        Campaign.state == CampaignState.SENDING, Campaign.updated_at <= now - after, someone, ~leased, ~waits
    )
    for campaign_id, updated_at in db.session.execute(query).all():
        moved_at = max(filter(None, (updated_at, *_last_moves(campaign_id))))
        if moved_at <= now - after:
            yield Found("campaign", moved_at, campaign_object(campaign_id))


def _last_moves(campaign_id: int) -> Iterator[datetime | None]:
    yield db.session.scalar(select(func.max(RateSample.window_start)).where(RateSample.campaign_id == campaign_id))
    rounds = select(func.max(func.coalesce(Round.closed_at, Round.started_at))).where(Round.campaign_id == campaign_id)
    yield db.session.scalar(rounds)
    yield db.session.scalar(select(func.max(Batch.lease_until)).where(Batch.campaign_id == campaign_id))


def _expired_leases(after: timedelta) -> Iterator[Found]:
    expired = and_(Batch.lease_token.is_not(None), Batch.lease_until < utcnow() - after)
    query = select(Batch.campaign_id, Batch.number, Batch.lease_until, Batch.worker).where(expired)
    for campaign_id, number, since, worker in db.session.execute(query.limit(MOST_OF_A_KIND)).all():
        yield Found("lease", since, campaign_object(campaign_id, batch=number), worker=worker or "")


def _idle_imports(after: timedelta) -> Iterator[Found]:
    """Yield imports that do not get on; one that is started again and again is touched, so its tries count too."""
    before = utcnow() - after
    waits = and_(UserImport.state == ImportState.WAITING, UserImport.created_at < before)
    running = UserImport.state.in_([ImportState.CHECKING, ImportState.SAVING])
    query = select(UserImport.id, UserImport.state, UserImport.created_at, UserImport.touched_at).where(
        or_(waits, and_(running, or_(UserImport.touched_at < before, UserImport.tries > 1)))
    )
    for import_id, state, created_at, touched_at in db.session.execute(query).all():
        since = created_at if state == ImportState.WAITING else touched_at
        yield Found("import", since, import_object(import_id))


def _old_mails() -> Iterator[Found]:
    """Yield, by kind, single mails that should have been sent ten minutes ago."""
    now = utcnow()
    before = now - MAIL_OLD_AFTER
    never_tried = and_(OutboxMail.attempts == 0, OutboxMail.next_attempt_at < before)
    tried = and_(OutboxMail.attempts > 0, OutboxMail.created_at < before)
    old = and_(OutboxMail.state.in_([OutboxState.WAITING, OutboxState.SENDING]), or_(never_tried, tried))
    due_at = case((OutboxMail.attempts == 0, OutboxMail.next_attempt_at), else_=OutboxMail.created_at)
    query = (
        select(OutboxMail.kind, func.count(), func.min(due_at))
        .where(old, OutboxMail.expires_at > now)
        .group_by(OutboxMail.kind)
        .order_by(OutboxMail.kind)
    )
    for kind, count, since in db.session.execute(query).all():
        yield Found("mail", since, TaskObject(mail_words(kind)), count=count)
