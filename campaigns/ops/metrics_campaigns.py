"""The part of /metrics that adds up: every term of the equation, read in one statement and so of one instant."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select

from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery.ledger_rows import COUNTED
from campaigns.delivery.models import Batch, FrozenAudience
from campaigns.extensions import db

MOST_NAMED = 50  # campaigns with a label of their own; the newest, the rest are summed
ENDED, REST = "ended", "rest"
AUDIENCE = ("candidates", "excluded", "recipients")


def read_campaigns() -> list[Metric]:
    """Return campaigns by state, and for those with recipients both lines of the equation."""
    rows = _rows()
    return [_by_state(rows), *_equation(rows), _held(rows)]


def _rows() -> Sequence[Any]:
    """Return every campaign with its audience; the batches' sums for those that have not ended.

    What has ended is taken as it was recorded then: the batches of years would be too many to add up at each scrape.
    """
    terms = [func.sum(getattr(Batch, term.value)).label(term.value) for term in COUNTED]
    unended = select(Campaign.id).where(Campaign.finished_at.is_(None))
    sums = (
        select(Batch.campaign_id, *terms).where(Batch.campaign_id.in_(unended)).group_by(Batch.campaign_id).subquery()
    )
    audience = [getattr(FrozenAudience, name) for name in AUDIENCE]
    query = (
        select(
            Campaign.id, Campaign.state, Campaign.finished_at, Campaign.totals, Campaign.trouble,
            Campaign.trouble_since, *audience, *(sums.c[term.value] for term in COUNTED),
        )
        .outerjoin(FrozenAudience, FrozenAudience.campaign_id == Campaign.id)
        .outerjoin(sums, sums.c.campaign_id == Campaign.id)
        .order_by(Campaign.id.desc())
    )  # fmt: skip
    return db.session.execute(query).all()


def _by_state(rows: Sequence[Any]) -> Metric:
    counts = Counter(row.state for row in rows)
    campaigns = GaugeMetricFamily("carillon_campaigns", "Campaigns by state, archived ones too.", labels=["state"])
    for state in CampaignState:
        campaigns.add_metric([state.value], counts[state])
    return campaigns


def _equation(rows: Sequence[Any]) -> list[Metric]:
    """Return both lines: candidates = excluded + recipients, and recipients = the sum of all deliveries."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    frozen = [row for row in rows if row.recipients is not None]
    named = _named(frozen)
    for row in frozen:
        sums[named.get(row.id, ENDED if row.finished_at else REST)].update(_terms(row))
    audience = [
        GaugeMetricFamily("carillon_campaign_candidates", "People the audience was chosen from.", labels=["campaign"]),
        GaugeMetricFamily("carillon_campaign_excluded", "Candidates who are no recipients.", labels=["campaign"]),
        GaugeMetricFamily("carillon_campaign_recipients", "Recipients, each in the ledger once.", labels=["campaign"]),
    ]
    deliveries = GaugeMetricFamily(
        "carillon_campaign_deliveries",
        "Recipients by what has become of them; over all outcomes they add up to carillon_campaign_recipients.",
        labels=["campaign", "outcome"],
    )
    for campaign, terms in sums.items():
        for name, metric in zip(AUDIENCE, audience, strict=True):
            metric.add_metric([campaign], terms[name])
        for term in COUNTED:
            deliveries.add_metric([campaign, term.value], terms[term.value])
    return [*audience, deliveries]


def _named(rows: Sequence[Any]) -> dict[int, str]:
    """Return the label of each campaign that has one of its own."""
    unended = [row.id for row in rows if row.finished_at is None]
    return {campaign_id: str(campaign_id) for campaign_id in unended[:MOST_NAMED]}


def _terms(row: Any) -> dict[str, int]:
    recorded = (row.totals or {}) if row.finished_at else row._mapping
    deliveries = {term.value: int(recorded.get(term.value) or 0) for term in COUNTED}
    return {**{name: int(getattr(row, name)) for name in AUDIENCE}, **deliveries}


def _held(rows: Sequence[Any]) -> Metric:
    """Return since when campaigns wait for a mail server or a limit; bounded as the equation is."""
    held = GaugeMetricFamily(
        "carillon_campaign_held_seconds",
        "How long a campaign has been waiting for a mail server that refuses us, or for a limit, and why.",
        labels=["campaign", "reason"],
    )
    waiting = [row for row in rows if row.trouble and row.trouble_since and row.finished_at is None]
    for row in waiting[:MOST_NAMED]:
        held.add_metric([str(row.id), row.trouble], (utcnow() - row.trouble_since).total_seconds())
    return held
