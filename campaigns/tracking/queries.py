"""What reports read of openings and clicks; nothing here commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from campaigns.extensions import db
from campaigns.tracking.models import ANY_LINK, OPENING, TrackedTotal, TrackedVisit
from campaigns.tracking.targets import read_targets


@dataclass(frozen=True)
class Count:
    """How many people, how often they, and how often machines."""

    people: int = 0
    times: int = 0
    machine_times: int = 0


@dataclass(frozen=True)
class LinkCount:
    """One tracked link of a campaign, and what came of it."""

    url: str
    count: Count


@dataclass(frozen=True)
class PersonVisit:
    """What one person did with one mail: opened it, or followed a link to `url`; machines' visits apart."""

    url: str | None
    first_at: datetime
    times: int
    machine_times: int


def openings_and_clicks(campaign_id: int) -> tuple[Count, Count]:
    """Return who opened, and who followed any link."""
    counts = _counts(campaign_id)
    return counts.get(OPENING, Count()), counts.get(ANY_LINK, Count())


def link_counts(campaign_id: int) -> Sequence[LinkCount]:
    """Return every tracked link of a campaign, followed or not, those of most people first."""
    counts = _counts(campaign_id)
    rows = [LinkCount(url, counts.get(number, Count())) for number, url in enumerate(read_targets(campaign_id), 1)]
    return sorted(rows, key=lambda row: (-row.count.people, -row.count.times))


def clicked_people(campaign_ids: Sequence[int]) -> Mapping[int, int]:
    """Return how many people followed any link, by campaign; without those that nobody has."""
    query = select(TrackedTotal.campaign_id, TrackedTotal.people)
    rows = db.session.execute(query.where(TrackedTotal.campaign_id.in_(campaign_ids), TrackedTotal.link == ANY_LINK))
    return {row.campaign_id: row.people for row in rows}


def visits_of(campaign_id: int, position: int) -> Sequence[PersonVisit]:
    """Return what is known of one recipient's visits, the opening first, then links in the order of the first time."""
    same_mail = TrackedVisit.campaign_id == campaign_id, TrackedVisit.position == position
    query = select(TrackedVisit).where(*same_mail, TrackedVisit.link != ANY_LINK)
    rows = db.session.scalars(query).all()
    targets = read_targets(campaign_id) if rows else ()
    return [
        PersonVisit(targets[row.link - 1] if row.link else None, row.first_at, row.times, row.machine_times)
        for row in sorted(rows, key=lambda row: (row.link != OPENING, row.first_at))
    ]


def _counts(campaign_id: int) -> dict[int, Count]:
    rows = db.session.scalars(select(TrackedTotal).where(TrackedTotal.campaign_id == campaign_id))
    return {row.link: Count(row.people, row.times, row.machine_times) for row in rows}
