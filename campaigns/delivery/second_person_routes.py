"""The second person on the pages for an ended campaign: asked, approving, declining, or not needed and why."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, url_for
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.compose.models import Campaign
from campaigns.delivery import reopening_approval as second
from campaigns.delivery.actions import ACTIONS
from campaigns.delivery.approval_mails import approval_group, approvers
from campaigns.delivery.blueprint import bp
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.tasks import send_mail
from campaigns.security import Right, requires


@bp.post("/campaigns/<int:campaign_id>/after/<action>/withdraw")
@requires(Right.LAUNCH)
def withdraw_action(campaign_id: int, action: str) -> Any:
    """End a request for a second person: withdrawn by whoever asked, declined by anybody else."""
    if second.withdraw(campaign_id, by=current_user.id):
        send_approval_mails(campaign_id)
        flash(_("The request was withdrawn. Nothing was sent."), "ok")
    return redirect(url_for("delivery.action_form", campaign_id=campaign_id, action=action), code=303)


def approve_or_ask(campaign_id: int, action: str, people: int) -> bool:
    """Tell whether somebody else had asked for exactly this, so that it may be done; else ask for a second person."""
    is_approved = second.approve(campaign_id, action, people=people, by=current_user.id)
    if not is_approved:
        second.ask(campaign_id, action, people=people, by=current_user.id)
    send_approval_mails(campaign_id)
    if is_approved:
        return True
    flash(_("A second person is asked to approve it. Nothing was sent yet."), "ok")
    return False


def describe_second_person(campaign: Campaign, name: str, people: int) -> dict[str, Any]:
    """Return what the page says of a second person: whether one is needed, or why not, and who has asked."""
    action, by = ACTIONS[name], campaign.reopening_asked_by_id
    is_asked = campaign.reopening_asked == name and campaign.reopening_people == people
    return {
        "is_needed": action.is_sending and second.needs_second_person(campaign, action.rest, people),
        "approved_by": second.covering_approver(campaign, action.rest, people) if action.is_sending else None,
        "is_asked": is_asked,
        "asker": db.session.get(User, by) if is_asked and by else None,
        "is_own": is_asked and by == current_user.id,
        "others": approvers(current_user.id),
    }


def send_approval_mails(campaign_id: int) -> None:
    """Enqueue a campaign's mails about approval that are not out; any number of times is harmless."""
    group = approval_group(campaign_id)
    waiting = select(OutboxMail.id).where(OutboxMail.group_key == group, OutboxMail.state == OutboxState.WAITING)
    for mail_id in list(db.session.scalars(waiting)):
        enqueue(send_mail, mail_id)
