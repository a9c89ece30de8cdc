"""The second person of a campaign that goes on after its end: the rule of a launch, where the launch did not settle it.

Who approved a launch approved its content, and that everybody gets it who was counted: to try those again who failed,
and to send to those whom a cancel left out, is part of that. To send again to the uncertain is not, since they may get
it twice; and neither is anything of a launch that nobody had to approve. What is asked for is kept with the campaign,
one request at a time, and ends with whatever lets the campaign go on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, update

from campaigns.accounts.models import User
from campaigns.audit.services import record_action
from campaigns.compose.models import Campaign
from campaigns.compose.queries import target_of
from campaigns.delivery.approval import is_approved, needs_approval
from campaigns.delivery.approval_mails import Decision, tell_approvers
from campaigns.delivery.reopening import Rest
from campaigns.delivery.reopening_requests import open_request
from campaigns.delivery.states import HAS_TOTALS, NO_REQUEST
from campaigns.extensions import db


def needs_second_person(campaign: Campaign, rest: Rest, people: int) -> bool:
    """Tell whether going on to so many of these people needs somebody else's approval."""
    return needs_approval(people) and not is_covered(campaign, rest)


def is_covered(campaign: Campaign, rest: Rest) -> bool:
    """Tell whether the approval of the launch holds for these people too."""
    return rest is not Rest.UNCERTAIN and is_approved(campaign)


def covering_approver(campaign: Campaign, rest: Rest, people: int) -> User | None:
    """Return who approved the launch, where that is why so many people need no approval now."""
    if not needs_approval(people) or not is_covered(campaign, rest) or campaign.approved_by_id is None:
        return None
    return db.session.get(User, campaign.approved_by_id)


def ask(campaign_id: int, action: str, *, people: int, by: int) -> tuple[int, ...] | None:
    """Ask for approval of an action for so many people, instead of what was asked for before; None if it was. Commits.

    Returns the ids of the mails to those who may approve; the edge enqueues them, and the one to whoever asked before.
    """
    before = open_request(campaign_id)
    is_new = or_(Campaign.reopening_asked != action, Campaign.reopening_people.is_distinct_from(people))
    asked = {"reopening_asked": action, "reopening_people": people, "reopening_asked_by_id": by}
    if not _change(campaign_id, HAS_TOTALS, is_new, **asked):
        db.session.rollback()
        return None
    _record("campaign.approval_asked", campaign_id, after={"people": people})
    if before:
        before.tell(Decision.OVERTAKEN)
    return tell_approvers(campaign_id, by)


def approve(campaign_id: int, action: str, *, people: int, by: int) -> bool:
    """Approve what somebody else has asked for; tells whether this did. Commits; the edge then does it, and tells them.

    Only for exactly that action and that many people, and never by the person who asked: the UPDATE refuses it.
    """
    request = open_request(campaign_id)
    asked = Campaign.reopening_asked == action, Campaign.reopening_people == people
    won = _change(campaign_id, *asked, Campaign.reopening_asked_by_id != by, **NO_REQUEST)
    if won:
        _record("campaign.approved", campaign_id, after={"people": people})
    if won and request:
        request.tell(Decision.APPROVED)
    db.session.commit()
    return won


def withdraw(campaign_id: int, *, by: int) -> bool:
    """End a request: whoever asked takes it back, anybody else who may launch declines it. Commits; the edge tells."""
    request, is_open = open_request(campaign_id), Campaign.reopening_asked != ""
    own = _change(campaign_id, is_open, Campaign.reopening_asked_by_id == by, **NO_REQUEST)
    won = own or _change(campaign_id, is_open, **NO_REQUEST)
    if won:
        _record("campaign.approval_withdrawn" if own else "campaign.declined", campaign_id)
    if won and request:
        request.tell(Decision.DECLINED)
    db.session.commit()
    return won


def _record(deed: str, campaign_id: int, *, after: dict[str, Any] | None = None) -> None:
    record_action(deed, target_of(db.session.get_one(Campaign, campaign_id)), after=after)


def _change(campaign_id: int, *conditions: ColumnElement[bool], **values: Any) -> bool:
    result = db.session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, *conditions)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
