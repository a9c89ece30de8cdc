"""Launching: the content is compiled and checked, and one conditional update starts the hold or sets the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from campaigns.clock import utcnow
from campaigns.compose.mails import sender_of
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.queries import compile_source, source_of
from campaigns.compose.rendering import CompiledContent, ContentError
from campaigns.compose.tracked_addresses import tracking_of
from campaigns.compose.wording import describe_content_error
from campaigns.config import current_settings
from campaigns.delivery import approval, states
from campaigns.delivery.copy_guard import note_home
from campaigns.delivery.message import LaunchedContent
from campaigns.errors import Conflict, NotFound, UserError
from campaigns.extensions import db
from campaigns.site import current_site

# A schedule that is missed by more is held for a person: the machine was off, or the database is an old copy.
NOT_AFTER = timedelta(hours=6)
EARLIEST = timedelta(minutes=5)


@dataclass(frozen=True)
class Launch:
    """A launch that stands. `repeated` means that this very click had launched it before.

    `waits_for_approval`: it starts once a second person has approved it; `mail_ids` ask those who may.
    """

    campaign_id: int
    hold_seconds: int
    repeated: bool = False
    waits_for_approval: bool = False
    mail_ids: tuple[int, ...] = ()


def launch_now(campaign_id: int, *, by: int | None, launch_key: str, hold_seconds: int | None = None) -> Launch:
    """Launch a draft: it waits out its hold (the setting's, or `hold_seconds`), then goes to everybody. Commits.

    A repeat with the same key is harmless and says so. Raises UserError when the content cannot be sent, Conflict when
    the campaign is no draft any more, NotFound. The edge enqueues `end_hold` with the hold as its countdown.
    """
    hold = current_settings().hold_seconds if hold_seconds is None else hold_seconds
    campaign = _campaign(campaign_id)
    if campaign.launch_key == launch_key:
        return Launch(campaign_id, hold, repeated=True)
    compiled = compile_for_launch(campaign).to_json()
    if (people := approval.people_to_approve()) is not None:
        return _ask(campaign_id, by=by, launch_key=launch_key, people=people, compiled=compiled)
    db.session.rollback()
    note_home()
    if not states.start(campaign_id, by=by, launch_key=launch_key, hold_seconds=hold, compiled=compiled):
        return _lost(campaign_id, launch_key, hold)
    return Launch(campaign_id, hold)


def launch_at(
    campaign_id: int, *, by: int | None, launch_key: str, at: datetime, zone: str, not_after: timedelta = NOT_AFTER
) -> Launch:
    """Schedule a draft for `at` (aware); missed by more than `not_after` it is held for a person. Commits.

    Repeats and errors as in `launch_now`; also UserError for a time less than five minutes away.
    """
    campaign = _campaign(campaign_id)
    if campaign.launch_key == launch_key:
        return Launch(campaign_id, 0, repeated=True)
    if at < utcnow() + EARLIEST:
        raise UserError(_("Choose a time at least five minutes from now."))
    compiled = compile_for_launch(campaign).to_json()
    if (people := approval.people_to_approve()) is not None:
        return _ask(
            campaign_id, by=by, launch_key=launch_key, people=people, compiled=compiled, scheduled_at=at,
            not_after=at + not_after, schedule_zone=zone,
        )  # fmt: skip
    db.session.rollback()
    note_home()
    won = states.schedule(
        campaign_id, by=by, launch_key=launch_key, at=at, not_after=at + not_after, zone=zone, compiled=compiled
    )
    return Launch(campaign_id, 0) if won else _lost(campaign_id, launch_key, 0)


def launch_late(campaign_id: int, *, by: int | None) -> bool:
    """Launch a schedule that was held because its time was missed, as its content was locked then. Commits.

    Tells whether this call did it. The edge enqueues `end_hold` with the setting's hold as its countdown. Raises
    Conflict when it needs the approval of a second person, which it has not had.
    """
    campaign = _campaign(campaign_id)
    if not approval.is_approved(campaign) and approval.people_to_approve() is not None:
        raise Conflict(_("A second person has to approve this. Take it back to a draft and launch it again."))
    db.session.rollback()
    note_home()
    return states.start_late(campaign_id, by=by, hold_seconds=current_settings().hold_seconds)


def compile_for_launch(campaign: Campaign) -> LaunchedContent:
    """Return a draft's content and sender as they would be sent now. Raises UserError naming what is wrong."""
    if not campaign.subject.strip():
        raise UserError(_("Enter a subject."))
    if not campaign.body.strip():
        raise UserError(_("Write the announcement first."))
    name, address = sender_of(campaign)
    return LaunchedContent(
        content=_compile(campaign),
        sender_name=name,
        sender_address=address,
        reply_to=campaign.reply_to,
        site_name=current_site().name,
        zone=current_site().timezone,
    )


def _compile(campaign: Campaign) -> CompiledContent:
    try:
        tracking = tracking_of(opens=campaign.tracks_opens, clicks=campaign.tracks_clicks)
        return compile_source(source_of(campaign), tracking)
    except ContentError as error:
        raise UserError(" ".join(describe_content_error(error))) from error


def _campaign(campaign_id: int) -> Campaign:
    campaign = db.session.get(Campaign, campaign_id)
    if campaign is None:
        raise NotFound(_("There is no such campaign."))
    return campaign


def _ask(campaign_id: int, *, launch_key: str, **launch: Any) -> Launch:
    """Let the launch wait for a second person; everything else about it stands."""
    db.session.rollback()
    note_home()
    mail_ids = approval.ask(campaign_id, launch_key=launch_key, **launch)
    if mail_ids is None:
        return _lost(campaign_id, launch_key, 0)
    return Launch(campaign_id, 0, waits_for_approval=True, mail_ids=mail_ids)


def _lost(campaign_id: int, launch_key: str, hold: int) -> Launch:
    """Say why the update changed nothing: the same click came first, or the campaign is no draft any more."""
    row = db.session.execute(
        select(Campaign.state, Campaign.launch_key).where(Campaign.id == campaign_id)
    ).one_or_none()
    if row is None:
        raise NotFound(_("There is no such campaign."))
    if row.launch_key == launch_key and row.state != CampaignState.DRAFT:
        return Launch(campaign_id, hold, repeated=True)
    raise Conflict(_("This campaign has been launched already."))
