"""The second person: a launch to so many people that somebody else who may launch has to approve it.

    draft → approval → starting or scheduled, once approved
      ↑        ↓
      └── declined, or withdrawn by whoever asked

While it waits the content is locked as it was compiled, so what is approved is what is sent; to change it the request
is withdrawn, and ends with that. Each arrow is one conditional UPDATE that says whether it won. An approval counts for
the launch that it was given for: `approved_at` is not before `launched_at`, which every launch sets anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update

from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.config import current_settings
from campaigns.delivery.approval_mails import Decision, tell_approvers, tell_asker
from campaigns.delivery.freeze import count_audience
from campaigns.extensions import db

S = CampaignState


def needs_approval(people: int) -> bool:
    """Tell whether a launch to so many people needs a second person."""
    limit = current_settings().approve_from
    return bool(limit) and people >= limit


def people_to_approve() -> int | None:
    """Return how many people a launch would reach now if that needs a second person, else None."""
    if not current_settings().approve_from:
        return None
    people = count_audience().recipients
    return people if needs_approval(people) else None


def is_approved(campaign: Campaign) -> bool:
    """Tell whether a second person has approved this very launch."""
    return bool(campaign.approved_at and campaign.launched_at and campaign.approved_at >= campaign.launched_at)


def ask(campaign_id: int, *, by: int | None, launch_key: str, people: int, **values: Any) -> tuple[int, ...] | None:
    """Ask for approval of a draft's launch; None when it is no draft any more. Commits.

    `values` are the launch's own: compiled, and for a schedule scheduled_at, not_after, schedule_zone. Returns the ids
    of the mails to those who may approve; the edge enqueues them.
    """
    won = _move(
        campaign_id, Campaign.state == S.DRAFT, S.APPROVAL, launch_key=launch_key, launched_by_id=by,
        launched_at=utcnow(), approval_people=people, approved_by_id=None, approved_at=None, declined_reason="",
        **{"scheduled_at": None, **values},
    )  # fmt: skip
    if not won:
        db.session.rollback()
        return None
    _record("campaign.approval_asked", campaign_id, after={"people": people})
    return tell_approvers(campaign_id, by)


def stop_unapproved(campaign_id: int) -> tuple[int, ...] | None:
    """Stop a launch about to start that needs a second person it has not had; None to go on. Commits.

    Whichever way it came here: a schedule that has grown, a repetition's copy, a setting that changed during the hold.
    Returns the ids of the mails to those who may approve.
    """
    campaign = db.session.get(Campaign, campaign_id)
    people = people_to_approve() if campaign is not None and not is_approved(campaign) else None
    if campaign is None or people is None or not _move(campaign_id, _is_due(), S.APPROVAL, approval_people=people):
        db.session.rollback()
        return None
    _record("campaign.approval_asked", campaign_id, after={"people": people})
    return tell_approvers(campaign_id, campaign.launched_by_id)


def approve(campaign_id: int, *, by: int, launch_key: str) -> datetime | None:
    """Approve a launch that was asked for with this key; returns when it starts, None when this call changed nothing.

    Never by the person who asked: the UPDATE itself refuses it. A schedule whose time has passed meanwhile starts now,
    after the hold. Commits; the edge enqueues `end_hold` for a start that is near, and the mail to whoever asked.
    """
    now = utcnow()
    waits = Campaign.state == S.APPROVAL
    conditions = (Campaign.launch_key == launch_key, _not_asked_by(by))
    approved: dict[str, Any] = {"approved_by_id": by, "approved_at": now}
    is_later = Campaign.scheduled_at > now
    hold_until = now + timedelta(seconds=current_settings().hold_seconds)
    won = _move(campaign_id, waits, S.SCHEDULED, *conditions, is_later, **approved) or _move(
        campaign_id, waits, S.STARTING, *conditions, or_(Campaign.scheduled_at.is_(None), ~is_later), **approved,
        hold_until=hold_until, scheduled_at=None,
    )  # fmt: skip
    if not won:
        db.session.rollback()
        return None
    _record("campaign.approved", campaign_id)
    tell_asker(campaign_id, _asker_of(campaign_id), Decision.APPROVED)
    starts_at = db.session.scalar(select(Campaign.scheduled_at).where(Campaign.id == campaign_id)) or hold_until
    db.session.commit()
    return starts_at


def decline(campaign_id: int, *, by: int, launch_key: str, reason: str) -> bool:
    """Return a launch that was asked for with this key to its draft, with the reason; tells whether this did. Commits.

    Never by the person who asked, who withdraws it instead.
    """
    won = _move(
        campaign_id, Campaign.state == S.APPROVAL, S.DRAFT, Campaign.launch_key == launch_key, _not_asked_by(by),
        declined_reason=reason[:300] or "—", **_no_launch(keep_asker=True),
    )  # fmt: skip
    if won:
        _record("campaign.declined", campaign_id, reason=reason)
        tell_asker(campaign_id, _asker_of(campaign_id), Decision.DECLINED)
    db.session.commit()
    return won


def withdraw(campaign_id: int) -> bool:
    """Take a request back to its draft, by anybody who may launch; tells whether there was one. Commits.

    The edge enqueues the mail to whoever asked, where somebody else took it back.
    """
    asker = _asker_of(campaign_id)
    won = _move(campaign_id, Campaign.state == S.APPROVAL, S.DRAFT, **_no_launch())
    if won:
        _record("campaign.approval_withdrawn", campaign_id)
        tell_asker(campaign_id, asker, Decision.WITHDRAWN)
    db.session.commit()
    return won


def _asker_of(campaign_id: int) -> int | None:
    return db.session.scalar(
        select(Campaign.launched_by_id).where(Campaign.id == campaign_id).with_for_update(key_share=True)
    )


def _is_due() -> ColumnElement[bool]:
    over = and_(Campaign.state == S.STARTING, Campaign.hold_until <= utcnow())
    return or_(over, and_(Campaign.state == S.SCHEDULED, Campaign.scheduled_at <= utcnow()))


def _not_asked_by(person: int) -> ColumnElement[bool]:
    # Asked for on the command line, or by somebody who was deleted since: anybody may.
    return or_(Campaign.launched_by_id.is_(None), Campaign.launched_by_id != person)


def _no_launch(*, keep_asker: bool = False) -> dict[str, Any]:
    cleared = dict.fromkeys(
        ("launch_key", "launched_by_id", "launched_at", "scheduled_at", "not_after", "schedule_zone", "compiled")
    )
    return {name: value for name, value in cleared.items() if not (keep_asker and name == "launched_by_id")}


def _record(action: str, campaign_id: int, *, after: dict[str, Any] | None = None, reason: str = "") -> None:
    subject = db.session.scalar(select(Campaign.subject).where(Campaign.id == campaign_id)) or ""
    record_action(action, Target("campaign", campaign_id, subject), after=after, reason=reason)


def _move(
    campaign_id: int, origin: ColumnElement[bool], target: CampaignState, *conditions: Any, **values: Any
) -> bool:
    result = db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, origin, *conditions)
        .values(state=target, updated_at=utcnow(), **values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
