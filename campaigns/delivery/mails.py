"""The mails about approvals: to those who may approve, and back to whoever asked."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import ngettext

from campaigns.accounts.models import User
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.titles import campaign_title
from campaigns.delivery.approval_mails import Decision
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
    """Say whether the launch was approved, and if not, why or by whom."""
    campaign = db.session.get(Campaign, int(mail.context["campaign_id"]))
    if campaign is None:
        return None
    title, decision = campaign_title(campaign), _decision_of(mail)
    if decision is Decision.APPROVED:
        lines = [_("It starts as planned, by itself.")]
    else:
        lines = [_("It is a draft again, and nothing was sent."), *_why(mail, campaign, decision)]
    return render_single_mail(
        "delivery/approval_decided",
        headline=_headline(decision, title),
        heading=_launch_heading(decision),
        lines=[f"“{title}”", *lines],
        why=_("You get this because you asked for the launch."),
        url=public_url("reports.progress", campaign_id=campaign.id),
    )


@mail_kind("reopening_decided")
def tell_decision_after_end(mail: OutboxMail) -> MailContent | None:
    """Say what became of the request to go on with a campaign that had ended."""
    campaign = db.session.get(Campaign, int(mail.context["campaign_id"]))
    if campaign is None:
        return None
    title, decision, people = campaign_title(campaign), _decision_of(mail), int(mail.context["people"])
    asked = ngettext(
        "You asked to send “%(subject)s” to %(people)s more person.",
        "You asked to send “%(subject)s” to %(people)s more people.",
        people, subject=title, people=format_number(people),
    )  # fmt: skip
    return render_single_mail(
        "delivery/approval_decided",
        headline=_headline(decision, title),
        heading=_reopening_heading(decision),
        lines=[asked, _reopening_sentence(decision), *_by(mail)],
        why=_("You get this because you asked for it."),
        url=public_url("reports.report", campaign_id=campaign.id),
    )


def _decision_of(mail: OutboxMail) -> Decision:
    # A mail that was queued by an earlier version says yes or no.
    said = mail.context.get("decision") or (Decision.APPROVED if mail.context.get("approved") else Decision.DECLINED)
    return Decision(said)


def _headline(decision: Decision, title: str) -> str:
    words = {
        Decision.APPROVED: _("Approved: %(subject)s", subject=title),
        Decision.DECLINED: _("Declined: %(subject)s", subject=title),
        Decision.WITHDRAWN: _("Taken back: %(subject)s", subject=title),
        Decision.OVERTAKEN: _("No longer requested: %(subject)s", subject=title),
    }[decision]
    return str(words)


def _launch_heading(decision: Decision) -> str:
    words = {
        Decision.APPROVED: _("Your launch was approved"),
        Decision.WITHDRAWN: _("Your launch was taken back"),
    }.get(decision, _("Your launch was declined"))
    return str(words)


def _reopening_heading(decision: Decision) -> str:
    words = {
        Decision.APPROVED: _("What you asked for was approved"),
        Decision.DECLINED: _("What you asked for was declined"),
    }.get(decision, _("Your request is no longer pending"))
    return str(words)


def _reopening_sentence(decision: Decision) -> str:
    words = {
        Decision.APPROVED: _("Sending goes on by itself."),
        Decision.DECLINED: _("Nothing was sent."),
    }.get(decision, _("Something else was done or asked for since. Look whether it is still needed, and ask again."))
    return str(words)


def _why(mail: OutboxMail, campaign: Campaign, decision: Decision) -> list[str]:
    return _by(mail) if decision is Decision.WITHDRAWN else [_("Reason: %(reason)s", reason=campaign.declined_reason)]


def _by(mail: OutboxMail) -> list[str]:
    by = db.session.get(User, int(mail.context["by_id"])) if mail.context.get("by_id") else None
    return [_("By: %(who)s", who=by.name or by.email)] if by else []
