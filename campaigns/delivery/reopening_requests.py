"""What is asked of a second person for an ended campaign: kept with it, one request at a time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from campaigns.compose.models import Campaign
from campaigns.delivery.approval_mails import Decision, tell_asker
from campaigns.extensions import db


@dataclass(frozen=True)
class Request:
    """An open request: for which action, for how many people, by whom."""

    campaign_id: int
    action: str
    people: int
    asked_by: int

    def tell(self, decision: Decision) -> None:
        """Tell whoever asked how it ended; a step of the transaction that ends it. The edge enqueues the mail."""
        tell_asker(self.campaign_id, self.asked_by, decision, people=self.people)


def open_request(campaign_id: int) -> Request | None:
    """Return what is asked for of a campaign that has ended, kept as it is until the transaction ends."""
    columns = Campaign.reopening_asked, Campaign.reopening_people, Campaign.reopening_asked_by_id
    row = db.session.execute(
        select(*columns).where(Campaign.id == campaign_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None or not row.reopening_asked:
        return None
    return Request(campaign_id, row.reopening_asked, row.reopening_people or 0, row.reopening_asked_by_id or 0)
