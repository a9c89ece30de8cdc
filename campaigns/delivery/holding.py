"""Holding a campaign's next round: while every mail server refuses us, or until a limit lets mail go again."""

from __future__ import annotations

import logging
import math

from campaigns.compose.models import Campaign
from campaigns.delivery.rate_limit import Turn
from campaigns.delivery.states import note_trouble
from campaigns.extensions import db
from campaigns.mail.smtp import ConnectionNotOpened, Outcome

TROUBLE_PAUSES_SECONDS = (10, 20, 40, 60)  # between rounds while the mail server refuses us; the last repeats
LONGEST_HOLD_SECONDS = 600  # so that a limit that was raised meanwhile is noticed

logger = logging.getLogger(__name__)


def hold_for_refusal(campaign_id: int, refusal: Outcome | ConnectionNotOpened) -> str:
    """Hold the next round because we are refused, longer each time; returns the server's words. Commits."""
    tries = db.session.get_one(Campaign, campaign_id).trouble_tries
    pause = TROUBLE_PAUSES_SECONDS[min(tries, len(TROUBLE_PAUSES_SECONDS) - 1)]
    reply = f"{refusal.code or ''} {refusal.text}".strip()
    note_trouble(campaign_id, reason=refusal.reason, reply=reply, pause_seconds=pause)
    logger.warning("campaign %s holds: the mail server refuses us: %s", campaign_id, reply)
    return reply


def hold_for_limit(campaign_id: int, turn: Turn) -> None:
    """Hold the next round until the limit lets mail go, or for as long as it may go unnoticed. Commits."""
    pause = math.ceil(min(LONGEST_HOLD_SECONDS, turn.wait_seconds))
    note_trouble(campaign_id, reason=turn.limit, reply="", pause_seconds=pause)
    logger.info("campaign %s goes on in %s s: %s", campaign_id, pause, turn.limit)
