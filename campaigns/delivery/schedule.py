"""Scheduled campaigns: a row with a time that beat looks at. A far-off message would come twice, or never."""

from __future__ import annotations

from sqlalchemy import select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.extensions import db


def due_campaigns() -> list[int]:
    """Return ids of scheduled campaigns whose time has come and is not too far past; the earliest first."""
    now = utcnow()
    query = (
        select(Campaign.id)
        .where(Campaign.state == CampaignState.SCHEDULED, Campaign.scheduled_at <= now, Campaign.not_after > now)
        .order_by(Campaign.scheduled_at)
    )
    return list(db.session.scalars(query))


def held_campaigns() -> list[int]:
    """Return ids of scheduled campaigns that missed their time by so much that a person has to decide."""
    now = utcnow()
    query = select(Campaign.id).where(Campaign.state == CampaignState.SCHEDULED, Campaign.not_after <= now)
    return list(db.session.scalars(query))
