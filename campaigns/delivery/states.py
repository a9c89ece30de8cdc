"""The arrows between a campaign's states: each one conditional UPDATE that says whether it won.

    draft → starting → preparing → sending ⇄ paused ←┐
      ↑ ↘ scheduled ↗                ↓        ↓      │ reopened for some
      └──── taken back              sent   cancelled ┘

A repeat is harmless: it finds the campaign elsewhere and returns False. Every function commits, but for those that say
that they are one step of a transaction. What a person can cause is written into the activity log with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update

from campaigns.audit.services import record_action
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.queries import target_of
from campaigns.extensions import db

S = CampaignState
RUNNING = (S.SENDING, S.PAUSED)
STOPPABLE = (S.PREPARING, S.SENDING, S.PAUSED)
ENDED = (S.SENT, S.CANCELLED)
NO_REQUEST: Final = {"reopening_asked": "", "reopening_people": None, "reopening_asked_by_id": None}
# A cancelled campaign may still be marking the rows of those who waited; it has ended when its totals are recorded.
HAS_TOTALS = Campaign.finished_at.is_not(None)


@dataclass(frozen=True)
class Deed:
    """What the activity log says of an arrow."""

    action: str
    after: dict[str, Any] = field(default_factory=dict)


def start(campaign_id: int, *, by: int | None, launch_key: str, hold_seconds: int, compiled: dict[str, Any]) -> bool:
    """Launch a draft: it waits out its hold, and can be taken back until then."""
    now = utcnow()
    return _move(
        campaign_id, (S.DRAFT,), S.STARTING, deed=_launch_deed(hold_seconds, compiled),
        launch_key=launch_key, launched_by_id=by, launched_at=now,
        hold_until=now + timedelta(seconds=hold_seconds), compiled=compiled, scheduled_at=None,
    )  # fmt: skip


def schedule(
    campaign_id: int,
    *,
    by: int | None,
    launch_key: str,
    at: datetime,
    not_after: datetime,
    zone: str,
    compiled: dict[str, Any],
) -> bool:
    """Launch a draft at a later time; a row that beat looks at, never a message that waits in the broker."""
    return _move(
        campaign_id, (S.DRAFT,), S.SCHEDULED, deed=_schedule_deed(at, zone, compiled),
        launch_key=launch_key, launched_by_id=by, launched_at=utcnow(),
        scheduled_at=at, not_after=not_after, schedule_zone=zone, compiled=compiled,
    )  # fmt: skip


def take_back(campaign_id: int) -> bool:
    """Return a launched or scheduled campaign to its draft; loses once the freeze has begun. Nothing was sent."""
    return _back_to_draft(campaign_id, S.STARTING, Deed("campaign.taken_back")) or _back_to_draft(
        campaign_id, S.SCHEDULED, Deed("campaign.unscheduled")
    )


def _back_to_draft(campaign_id: int, origin: CampaignState, deed: Deed) -> bool:
    return _move(
        campaign_id, (origin,), S.DRAFT, deed=deed, launch_key=None, launched_by_id=None, launched_at=None,
        hold_until=None, scheduled_at=None, not_after=None, schedule_zone=None, compiled=None,
    )  # fmt: skip


def begin_preparing(campaign_id: int) -> bool:
    """Start the freeze of a campaign whose hold is over or whose scheduled time has come.

    A time further past than `not_after` wins nothing: a person decides, for the database may be an old copy.
    """
    now = utcnow()
    return _move(campaign_id, (S.STARTING,), S.PREPARING, Campaign.hold_until <= now) or _move(
        campaign_id, (S.SCHEDULED,), S.PREPARING, Campaign.scheduled_at <= now, Campaign.not_after > now
    )


def pause(campaign_id: int, *, reason: str = "") -> bool:
    """Stop sending; open dialogues finish, and everybody else goes on waiting."""
    return _move(
        campaign_id, (S.SENDING,), S.PAUSED, deed=Deed("campaign.paused", {"reason": reason}), pause_reason=reason[:300]
    )


def resume(campaign_id: int, *, if_paused_for: str | None = None, **values: int) -> bool:
    """Go on sending to those who still wait, or only if it is paused for that reason; the edge starts a round then."""
    condition = () if if_paused_for is None else (Campaign.pause_reason == if_paused_for,)
    return _move(
        campaign_id, (S.PAUSED,), S.SENDING, *condition, deed=Deed("campaign.resumed"), pause_reason="",
        trouble=None, trouble_reply=None,
        trouble_since=None, trouble_tries=0, next_round_at=None, **values,
    )  # fmt: skip


def cancel(campaign_id: int) -> bool:
    """End a campaign for those who still wait; the edge then has their rows marked. Cannot be undone."""
    return _move(campaign_id, STOPPABLE, S.CANCELLED, deed=Deed("campaign.cancelled"), pause_reason="", trouble=None)


def start_late(campaign_id: int, *, by: int | None, hold_seconds: int) -> bool:
    """Start a schedule that was held because its time was missed; from here on it is a launch like any other."""
    now = utcnow()
    return _move(
        campaign_id, (S.SCHEDULED,), S.STARTING, Campaign.not_after <= now,
        deed=Deed("campaign.launched_late", {"hold_seconds": hold_seconds}), launched_by_id=by, launched_at=now,
        hold_until=now + timedelta(seconds=hold_seconds), not_after=None,
    )  # fmt: skip


def reopen(campaign_id: int, *, reason: str) -> bool:
    """Pause a campaign that has ended, so that some of its recipients can wait again; a step of a transaction."""
    values = {"state": S.PAUSED, "pause_reason": reason, "updated_at": utcnow(), **_reopened()}
    return _update(campaign_id, ENDED, HAS_TOTALS, **values)


def reopen_at_once(campaign_id: int) -> bool:
    """Let a campaign that has ended send again; one step of the transaction in which somebody waits again."""
    return _update(campaign_id, ENDED, HAS_TOTALS, state=S.SENDING, updated_at=utcnow(), **_reopened())


def stay_open(campaign_id: int) -> bool:
    """Keep a campaign from ending until the transaction does, and tell whether it is open; a step of one."""
    return _update(campaign_id, RUNNING, updated_at=utcnow())


def state_of(campaign_id: int) -> CampaignState | None:
    """Return the state as committed now, or None for an unknown campaign."""
    state = db.session.scalar(select(Campaign.state).where(Campaign.id == campaign_id))
    return CampaignState(state) if state else None


def hold_left(campaign_id: int) -> timedelta | None:
    """Return how long a starting campaign's hold still lasts, never negative; None when it is not starting."""
    until = db.session.scalar(
        select(Campaign.hold_until).where(Campaign.id == campaign_id, Campaign.state == S.STARTING)
    )
    return max(until - utcnow(), timedelta()) if until else None


def note_trouble(campaign_id: int, *, reason: str, reply: str, pause_seconds: int) -> None:
    """Remember that the mail server refuses us, and hold the next round until the pause is over.

    Within a hold a further refusal changes nothing: the batches that were under way when it began are refused alike,
    and each of them would make the pause longer.
    """
    now = utcnow()
    not_held = or_(Campaign.next_round_at.is_(None), Campaign.next_round_at <= now)
    _update(
        campaign_id, (S.SENDING,), not_held, trouble=reason, trouble_reply=reply[:300],
        trouble_tries=Campaign.trouble_tries + 1, next_round_at=now + timedelta(seconds=pause_seconds),
    )  # fmt: skip
    _update(campaign_id, (S.SENDING,), Campaign.trouble_since.is_(None), trouble_since=now)
    db.session.commit()


def clear_trouble(campaign_id: int) -> bool:
    """Forget the trouble, since the mail server takes mail again; tells whether there was any."""
    cleared = _update(
        campaign_id, (S.SENDING,), Campaign.trouble.is_not(None), trouble=None, trouble_reply=None, trouble_since=None,
        trouble_tries=0, next_round_at=None,
    )  # fmt: skip
    db.session.commit()
    return cleared


def _reopened() -> dict[str, Any]:
    return {"finished_at": None, "totals": None, "reopened_at": utcnow(), "next_round_at": None, **NO_REQUEST}


def record_deed(campaign_id: int, deed: Deed) -> None:
    """Add a deed to the activity log; a step of a transaction."""
    campaign = db.session.get_one(Campaign, campaign_id)
    after = {name: value for name, value in deed.after.items() if value not in (None, "")}
    record_action(deed.action, target_of(campaign), after=after)


def _launch_deed(hold_seconds: int, compiled: dict[str, Any]) -> Deed:
    return Deed("campaign.launched", {"hold_seconds": hold_seconds, "content_sha256": _digest(compiled)})


def _schedule_deed(at: datetime, zone: str, compiled: dict[str, Any]) -> Deed:
    after = {"scheduled_at": at.isoformat(timespec="seconds"), "zone": zone, "content_sha256": _digest(compiled)}
    return Deed("campaign.scheduled", after)


def _digest(compiled: dict[str, Any]) -> str:
    """Return what proves later which content was launched, without keeping it twice."""
    return hashlib.sha256(json.dumps(compiled, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _move(
    campaign_id: int,
    origins: tuple[CampaignState, ...],
    target: CampaignState,
    *conditions: Any,
    deed: Deed | None = None,
    **values: Any,
) -> bool:
    won = _update(campaign_id, origins, *conditions, state=target, updated_at=utcnow(), **values)
    if won and deed:
        record_deed(campaign_id, deed)
    db.session.commit()
    return won


def _update(campaign_id: int, origins: tuple[CampaignState, ...], *conditions: Any, **values: Any) -> bool:
    result = db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state.in_(origins), *conditions)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
