"""The mails about approvals: to those who may approve, and back to whoever asked."""

from __future__ import annotations

from campaigns.accounts.models import User
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.titles import campaign_title
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.mail.single import render_single_mail
from campaigns.presentation import format_number
from campaigns.security import Right


@mail_kind("approval_asked")
def ask_for_approval(mail: OutboxMail) -> MailContent | None:
    """Say what waits and where to decide; nothing once it was decided, or to somebody who may not any more."""
    campaign = db.session.get(Campaign, int(mail.context["campaign_id"]))
    user = db.session.get(User, int(mail.context["user_id"]))
    if campaign is None or user is None or not user.may(Right.LAUNCH):
        return None
    if campaign.state == CampaignState.APPROVAL:
        url = public_url("delivery.approval", campaign_id=campaign.id)
        return _ask(campaign, campaign.approval_people, campaign.launched_by_id, url)
    if campaign.reopening_asked:
        url = public_url("delivery.action_form", campaign_id=campaign.id, action=campaign.reopening_asked)
        return _ask(campaign, campaign.reopening_people, campaign.reopening_asked_by_id, url)
    return None


def _ask(campaign: Campaign, people: int | None, asked_by: int | None, url: str) -> MailContent:
    asker = db.session.get(User, asked_by) if asked_by else None
    return render_single_mail(
        "delivery/approval_asked",
        subject=campaign_title(campaign),
        people=format_number(people),
        count=people or 0,
        asker=(asker.name or asker.email) if asker else "",
        url=url,
    )


@mail_kind("approval_decided")
def tell_decision(mail: OutboxMail) -> MailContent | None:
    """Say whether the launch was approved, and if not, why."""
    campaign = db.session.get(Campaign, int(mail.context["campaign_id"]))
    if campaign is None:
        return None
    return render_single_mail(
        "delivery/approval_decided",
        subject=campaign_title(campaign),
        approved=bool(mail.context["approved"]),
        reason=campaign.declined_reason,
        url=public_url("reports.progress", campaign_id=campaign.id),
    )
