"""How each campaign of a list stands, in the words and numbers of its report; the area that knows them says it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from campaigns.compose.models import Campaign


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a list shows of one campaign. `badge` is a state of the badge macro; numbers are None before the freeze.

    `repeated_on` is the date of the repetition whose copy it is; `share_clicked` is None where clicks are not counted.
    """

    badge: str
    recipients: int | None = None
    sent: int | None = None
    share_done: float | None = None  # from 0 to 1 while it is being sent
    repeated_on: date | None = None
    share_clicked: float | None = None  # from 0 to 1, of those who got it


Source = Callable[[Sequence[Campaign]], Mapping[int, Standing]]
_sources: list[Source] = []


def standing_source(source: Source) -> Source:
    """Register the function that knows how campaigns stand; it is asked once for a whole page."""
    _sources.append(source)
    return source


def standings_of(campaigns: Sequence[Campaign]) -> dict[int, Standing]:
    """Return how each of these campaigns stands, by its id."""
    found = {campaign.id: Standing(badge=campaign.state) for campaign in campaigns}
    for source in _sources if campaigns else ():
        found.update(source(campaigns))
    return found
