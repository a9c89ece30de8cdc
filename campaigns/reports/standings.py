"""How the campaigns of a list stand: the report's word and the ledger's numbers, whatever the number of campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select

from campaigns.compose.models import Campaign
from campaigns.compose.standings import Standing, standing_source
from campaigns.delivery.models import Occurrence
from campaigns.delivery.queries import Totals, totals_of
from campaigns.delivery.reopening import count_undecided_of
from campaigns.extensions import db
from campaigns.reports.progress import RUNNING_PHASES, phase_of
from campaigns.tracking.queries import clicked_people


@standing_source
def campaign_standings(campaigns: Sequence[Campaign]) -> Mapping[int, Standing]:
    """Return how each campaign stands, with five queries for all of them."""
    totals = totals_of([campaign.id for campaign in campaigns])
    undecided = count_undecided_of([each.id for each in totals.values() if each.uncertain])
    days = dict(
        db.session.execute(
            select(Occurrence.campaign_id, Occurrence.local_date).where(Occurrence.campaign_id.in_(list(totals)))
        ).all()
    )
    clicked = clicked_people([campaign.id for campaign in campaigns if campaign.tracks_clicks])
    return {
        campaign.id: replace(
            _standing(campaign, totals[campaign.id], undecided.get(campaign.id, 0), days.get(campaign.id)),
            share_clicked=_share_clicked(campaign, totals[campaign.id], clicked.get(campaign.id, 0)),
        )
        for campaign in campaigns
        if campaign.id in totals
    }


def _share_clicked(campaign: Campaign, totals: Totals, people: int) -> float | None:
    return people / totals.sent if campaign.tracks_clicks and totals.sent else None


def _standing(campaign: Campaign, totals: Totals, undecided: int, day: object) -> Standing:
    phase = phase_of(campaign.state, totals, undecided=undecided)
    is_frozen = totals.candidates > 0
    is_moving = phase in RUNNING_PHASES and totals.recipients > 0
    open_ones = totals.waiting + totals.sending + totals.deferred
    return Standing(
        badge=phase,
        recipients=totals.recipients if is_frozen else None,
        sent=totals.sent if is_frozen else None,
        share_done=1 - open_ones / totals.recipients if is_moving else None,
        repeated_on=day,  # type: ignore[arg-type]
    )
