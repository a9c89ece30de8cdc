"""What the dashboard reads: what needs attention, what is sending, what comes next, what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import func, select

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import FINAL_STATES, Campaign, CampaignState
from campaigns.compose.titles import campaign_title
from campaigns.config import current_settings
from campaigns.delivery.audience_count import count_audience
from campaigns.delivery.copy_guard import is_held
from campaigns.delivery.models import Batch
from campaigns.delivery.queries import Totals, campaign_totals, recent_rate
from campaigns.delivery.rate_limit import SENDING_LIMITS
from campaigns.delivery.reopening import Rest, count_people
from campaigns.delivery.schedule import held_campaigns
from campaigns.extensions import db
from campaigns.page_frame import url_if
from campaigns.presentation import format_number
from campaigns.reports.attention import Attention, attention_source
from campaigns.reports.progress import Phase, Progress, look, phase_of
from campaigns.reports.reasons import describe_pause, describe_reason
from campaigns.security import Right
from campaigns.site import current_site

RECENT_DAYS: Final = 30
LAST_SENT: Final = 5
NEXT_SCHEDULED: Final = 5
RUNNING_STATES: Final = (
    CampaignState.STARTING,
    CampaignState.PREPARING,
    CampaignState.SENDING,
    CampaignState.PAUSED,
)


@dataclass(frozen=True)
class Figures:
    """The tiles: who would get a mail now, and what became of the mails of the last 30 days."""

    recipients: int
    left_out: int
    sent: int
    failed: int

    @property
    def share_sent(self) -> float | None:
        """The part of the tried mails that was taken; None when none was tried."""
        tried = self.sent + self.failed
        return self.sent / tried if tried else None


@dataclass(frozen=True)
class Running:
    """A campaign that is on its way, with one look at where it stands."""

    campaign: Campaign
    progress: Progress


@dataclass(frozen=True)
class Step:
    """One of the first things to do on a new site."""

    title: str
    text: str
    url: str
    label: str
    is_done: bool
    right: Right


def figures() -> Figures:
    """Return the numbers of the tiles."""
    audience = count_audience()
    since = utcnow() - timedelta(days=RECENT_DAYS)
    sent, failed = db.session.execute(
        select(func.coalesce(func.sum(Batch.sent), 0), func.coalesce(func.sum(Batch.failed), 0))
        .join(Campaign, Campaign.id == Batch.campaign_id)
        .where(Campaign.frozen_at >= since)
    ).one()
    return Figures(audience.recipients, audience.candidates - audience.recipients, int(sent), int(failed))


def running_campaigns() -> list[Running]:
    """Return campaigns that are launched and not ended, the newest first."""
    query = select(Campaign).where(Campaign.state.in_(RUNNING_STATES)).order_by(Campaign.launched_at.desc())
    return [Running(campaign, look_at(campaign)) for campaign in db.session.scalars(query)]


def look_at(campaign: Campaign) -> Progress:
    """Return one look at a campaign now."""
    totals = campaign_totals(campaign.id)
    return look(campaign, totals, rate=recent_rate(campaign.id), now=utcnow(), undecided=count_undecided(totals))


def scheduled_campaigns() -> Sequence[Campaign]:
    """Return the campaigns that come next."""
    query = select(Campaign).where(Campaign.state == CampaignState.SCHEDULED, Campaign.not_after > utcnow())
    return db.session.scalars(query.order_by(Campaign.scheduled_at).limit(NEXT_SCHEDULED)).all()


def count_undecided(totals: Totals) -> int:
    """Return how many of a campaign's uncertain mails no person has decided on."""
    return count_people(totals.id, Rest.UNCERTAIN) if totals.uncertain else 0


def last_campaigns() -> list[tuple[Campaign, Totals, Phase]]:
    """Return the campaigns that ended last, with their totals and what to call them."""
    query = select(Campaign).where(Campaign.state.in_(FINAL_STATES)).order_by(Campaign.finished_at.desc())
    ended = [(campaign, campaign_totals(campaign.id)) for campaign in db.session.scalars(query.limit(LAST_SENT))]
    return [(each, t, phase_of(each.state, t, undecided=count_undecided(t))) for each, t in ended]


def first_steps() -> list[Step]:
    """Return the list for a new site; empty once a campaign has been launched."""
    if db.session.scalar(select(Campaign.id).where(Campaign.launched_at.is_not(None)).limit(1)) is not None:
        return []
    draft = db.session.execute(select(Campaign).order_by(Campaign.id.desc()).limit(1)).scalar_one_or_none()
    return [_sender_step(), _people_step(), _write_step(draft), _test_step(draft), _launch_step(draft)]


@attention_source
def paused_campaigns() -> Iterable[Attention]:
    """Say which campaigns are paused, and why."""
    for campaign in db.session.scalars(select(Campaign).where(Campaign.state == CampaignState.PAUSED)):
        left = campaign_totals(campaign.id).waiting
        yield Attention(
            kind="bad" if campaign.pause_reason else "warn",
            text=_("“%(subject)s” is paused.", subject=campaign_title(campaign)),
            detail=describe_pause(campaign.pause_reason)
            + " "
            + ngettext(
                "%(people)s person has not got it yet.",
                "%(people)s people have not got it yet.",
                left,
                people=format_number(left),
            ),
            url=url_for("reports.progress", campaign_id=campaign.id),
        )


@attention_source
def asked_approvals() -> Iterable[Attention]:
    """Say which launches wait for a second person."""
    for campaign in db.session.scalars(select(Campaign).where(Campaign.state == CampaignState.APPROVAL)):
        yield Attention(
            text=_("“%(subject)s” waits for a second person's approval.", subject=campaign_title(campaign)),
            url=url_for("delivery.approval", campaign_id=campaign.id),
            right=Right.LAUNCH,
        )


@attention_source
def refused_campaigns() -> Iterable[Attention]:
    """Say which campaigns wait for the mail server to take mail again, or for a sending limit."""
    in_trouble = select(Campaign).where(Campaign.state == CampaignState.SENDING, Campaign.trouble.is_not(None))
    for campaign in db.session.scalars(in_trouble):
        subject, is_limited = campaign_title(campaign), campaign.trouble in SENDING_LIMITS
        yield Attention(
            kind="warn" if is_limited else "bad",
            text=_("“%(subject)s” is waiting for the sending limit.", subject=subject)
            if is_limited
            else _("“%(subject)s” is waiting for the mail server.", subject=subject),
            detail=f"{describe_reason(campaign.trouble)}.",
            url=url_for("reports.progress", campaign_id=campaign.id),
        )


@attention_source
def missed_schedules() -> Iterable[Attention]:
    """Say which scheduled campaigns missed their time by so much that a person has to decide."""
    for campaign in db.session.scalars(select(Campaign).where(Campaign.id.in_(held_campaigns()))):
        yield Attention(
            kind="bad",
            text=_("“%(subject)s” missed its time and was not sent.", subject=campaign_title(campaign)),
            detail=_("Launch it now, or take it back to a draft."),
            url=url_for("reports.progress", campaign_id=campaign.id),
        )


@attention_source
def copied_database() -> Iterable[Attention]:
    """Say that nothing is sent because the database looks like a copy or like an old backup."""
    if is_held():
        yield Attention(
            kind="bad",
            text=_("No announcement is sent: is this the database to send from?"),
            detail=_("It looks like a copy or like a restored backup. What it would send may have been sent already."),
            url=url_for("delivery.copied_database"),
            right=Right.LAUNCH,
        )


@attention_source
def uncertain_campaigns() -> Iterable[Attention]:
    """Say which campaigns of the last 30 days have people of whom it is not known whether they got the mail."""
    people = func.sum(Batch.uncertain)
    query = (
        select(Campaign.id, people)
        .join(Batch, Batch.campaign_id == Campaign.id)
        .where(Campaign.frozen_at >= utcnow() - timedelta(days=RECENT_DAYS))
        .group_by(Campaign.id)
        .having(people > 0)
    )
    for campaign_id, _all in db.session.execute(query).all():
        count = count_people(campaign_id, Rest.UNCERTAIN)
        if not count:
            continue
        title = campaign_title(db.session.get_one(Campaign, campaign_id))
        yield Attention(
            text=_("“%(subject)s”: it is not certain that everybody got it.", subject=title),
            detail=ngettext("%(num)s mail has no answer", "%(num)s mails have no answer", count) + ".",
            url=url_for("reports.report", campaign_id=campaign_id, _anchor="uncertain"),
        )


def _sender_step() -> Step:
    has_sender = bool(current_site().sender_address or current_settings().mail_default_sender)
    return Step(
        _("Say who the mail is from"),
        _("The name and address that people see. The address has to be one that your mail server may send for."),
        "",
        "",
        has_sender,
        Right.MANAGE_SITE,
    )


def _people_step() -> Step:
    # Whoever set the site up is a user too, so one alone is nobody yet.
    has_people = db.session.execute(select(User.id).offset(1).limit(1)).first() is not None
    return Step(
        _("Add your users"),
        _("Import a CSV file with their addresses, or let them sign up."),
        url_if("audience.list_imports"),
        _("Import people"),
        has_people,
        Right.MANAGE_USERS,
    )


def _write_step(draft: Campaign | None) -> Step:
    return Step(
        _("Write the first campaign"),
        _("A subject and a text, with names filled in for each person."),
        url_if("compose.list_campaigns"),
        _("Write a campaign"),
        draft is not None and bool(draft.subject.strip() and draft.body.strip()),
        Right.WRITE,
    )


def _test_step(draft: Campaign | None) -> Step:
    return Step(
        _("Send a test"),
        _("See the mail in your own inbox before anybody else does."),
        url_if("compose.test_campaign", campaign_id=draft.id) if draft else "",
        _("Send a test"),
        draft is not None and draft.tested_version is not None,
        Right.WRITE,
    )


def _launch_step(draft: Campaign | None) -> Step:
    return Step(
        _("Launch it"),
        _("You see the exact number of people first, and can take it back for a moment afterwards."),
        url_for("delivery.launch_form", campaign_id=draft.id) if draft else "",
        _("Go to the launch"),
        False,
        Right.LAUNCH,
    )
