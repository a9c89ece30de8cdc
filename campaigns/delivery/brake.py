"""The brake: a campaign that is refused for good too often stops by itself, before the sender's name suffers."""

from __future__ import annotations

import logging

from sqlalchemy import func, select, text

from campaigns.compose.models import Campaign
from campaigns.config import Settings
from campaigns.delivery.models import Batch
from campaigns.delivery.states import pause, resume
from campaigns.extensions import db

TOO_MANY_FAILURES = "too_many_failures"

_FAILED = text("SELECT coalesce(sum(failed), 0) FROM batch WHERE campaign_id = :campaign_id")

logger = logging.getLogger(__name__)


def brake_if_needed(campaign_id: int, settings: Settings) -> bool:
    """Pause a campaign whose share of permanent refusals is above the limit; tells whether it did. Commits.

    The limit is looked at from `brake_after` attempts on; 0 percent turns the brake off. A person who resumes the
    campaign has seen what was refused so far: only what comes after is counted then.
    """
    if not settings.brake_failed_percent or _is_clearly_below(campaign_id, settings):
        return False
    failed, attempted = _count(campaign_id)
    if attempted < settings.brake_after or failed * 100 <= attempted * settings.brake_failed_percent:
        return False
    is_paused = pause(campaign_id, reason=f"{TOO_MANY_FAILURES}: {failed:,} / {attempted:,}")
    if is_paused:
        logger.warning("campaign %s: %s of %s mails were refused for good, pausing", campaign_id, failed, attempted)
    return is_paused


def _is_clearly_below(campaign_id: int, settings: Settings) -> bool:
    """Tell whether too few were refused for the brake, even if they were all of `brake_after`; asked by every batch."""
    query = db.session.connection().execute(_FAILED, {"campaign_id": campaign_id})
    return int(query.scalar_one()) * 100 <= settings.brake_after * settings.brake_failed_percent


def _count(campaign_id: int) -> tuple[int, int]:
    counted = batch_sums(campaign_id)
    seen = db.session.execute(
        select(Campaign.brake_failed_seen, Campaign.brake_attempted_seen).where(Campaign.id == campaign_id)
    ).one()
    return counted[0] - seen.brake_failed_seen, counted[1] - seen.brake_attempted_seen


def resume_past_brake(campaign_id: int, *, if_paused_for: str | None = None) -> bool:
    """Go on with a paused campaign, counting refusals anew from here; tells whether it was paused. Commits."""
    failed, attempted = batch_sums(campaign_id)
    return resume(campaign_id, if_paused_for=if_paused_for, brake_failed_seen=failed, brake_attempted_seen=attempted)


def batch_sums(campaign_id: int) -> tuple[int, int]:
    """Return (refused for good, answered for good) of a campaign."""
    query = select(func.coalesce(func.sum(Batch.failed), 0), func.coalesce(func.sum(Batch.sent + Batch.failed), 0))
    failed, attempted = db.session.execute(query.where(Batch.campaign_id == campaign_id)).one()
    return int(failed), int(attempted)
