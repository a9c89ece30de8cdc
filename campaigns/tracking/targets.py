"""Where the links of launched campaigns lead: the campaign itself says it, and a process remembers what it has read.

A launched campaign's content never changes, so what is remembered stays right, and a click finds its way while the
database is away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select

from campaigns.compose.models import Campaign
from campaigns.compose.rendering import LINK_TARGETS
from campaigns.compose.tracked_links import is_web_address
from campaigns.extensions import db

CAMPAIGNS_KEPT: Final = 500


class LinkTargets:
    """The targets of the campaigns that were asked for last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def find(self, campaign_id: int, number: int) -> str | None:
        """Return where a link leads, None when the campaign has no such link. Reads the database at most once."""
        targets = self._kept.get(campaign_id)
        if targets is None:
            targets = tuple(read_targets(campaign_id))
            self._keep(campaign_id, targets)
        target = targets[number - 1] if 1 <= number <= len(targets) else ""
        return target if is_web_address(target) else None

    def _keep(self, campaign_id: int, targets: tuple[str, ...]) -> None:
        if not targets:
            return
        self._kept[campaign_id] = targets
        while len(self._kept) > CAMPAIGNS_KEPT:
            self._kept.popitem(last=False)


def read_targets(campaign_id: int) -> Sequence[str]:
    """Return the targets of a campaign's tracked links; link number n leads to the n-th."""
    found = select(Campaign.compiled["content"][LINK_TARGETS]).where(Campaign.id == campaign_id)
    return db.session.scalar(found) or ()
