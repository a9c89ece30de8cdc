"""Once a week: every ledger of the last month is counted again, row by row, and held against what was recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy import delete, select, text

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.titles import campaign_title
from campaigns.delivery.ledger import count_ledger
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.queries import Totals, campaign_totals, ledger_totals
from campaigns.extensions import db
from campaigns.reports.attention import Attention, attention_source
from campaigns.reports.models import LedgerDifference

LOOKED_BACK: Final = timedelta(days=30)
TERMS: Final = ("candidates", "excluded", "recipients", *(each.value for each in DeliveryState if each != "excluded"))

logger = logging.getLogger(__name__)


def check_ledgers() -> dict[str, int]:
    """Recount every campaign that ended in the last 30 days, note which do not add up, and refresh the statistics
    that the database plans its queries with. Commits by campaign; a repeat is harmless.
    """
    ended = select(Campaign.id).where(Campaign.finished_at >= utcnow() - LOOKED_BACK).order_by(Campaign.id)
    campaign_ids = list(db.session.scalars(ended))
    different = sum(_check(campaign_id) for campaign_id in campaign_ids)
    _refresh_planner_statistics()
    return {"campaigns": len(campaign_ids), "differences": different}


@attention_source
def ledgers_that_do_not_add_up() -> Iterable[Attention]:
    """Say which campaigns the weekly recount found to be other than recorded."""
    query = select(Campaign).join(LedgerDifference, LedgerDifference.campaign_id == Campaign.id)
    for campaign in db.session.scalars(query):
        yield Attention(
            kind="bad",
            text=_("“%(subject)s”: its ledger does not add up.", subject=campaign_title(campaign)),
            detail=_(
                "The weekly recount found different numbers from those recorded. Compare with the mail server’s log."
            ),
            url=url_for("reports.report", campaign_id=campaign.id),
        )


def _check(campaign_id: int) -> bool:
    """Note or forget a difference; tells whether there is one."""
    found = _differences(campaign_id)
    # A campaign that was reopened while we counted has no totals to compare with.
    if db.session.scalar(select(Campaign.finished_at).where(Campaign.id == campaign_id)) is None:
        found = {}
    db.session.execute(delete(LedgerDifference).where(LedgerDifference.campaign_id == campaign_id))
    if found:
        logger.error("the ledger of campaign %s does not add up: %s", campaign_id, found)
        db.session.add(LedgerDifference(campaign_id=campaign_id, terms=found))
    db.session.commit()
    return bool(found)


def _differences(campaign_id: int) -> dict[str, list[int]]:
    """Return each term whose recorded number is another than the ledger's: [counted, recorded]."""
    counted, batches = ledger_totals(campaign_id), campaign_totals(campaign_id)
    differences = {term: pair for term in TERMS if (pair := _pair(term, counted, batches))[0] != pair[1]}
    totals = db.session.scalar(select(Campaign.totals).where(Campaign.id == campaign_id)) or {}
    for state, number in count_ledger(campaign_id).items():
        if totals.get(state.value, number) != number:
            differences[state.value] = [number, totals[state.value]]
    return differences


def _pair(term: str, counted: Totals, recorded: Totals) -> list[int]:
    return [getattr(counted, term), getattr(recorded, term)]


def _refresh_planner_statistics() -> None:
    db.session.execute(text("ANALYZE"))
    db.session.commit()
