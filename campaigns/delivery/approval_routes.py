"""The page on which a second person approves or declines a launch."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_login import current_user

from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.mails import sender_of
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.queries import get_campaign
from campaigns.config import current_settings
from campaigns.delivery import approval as approvals
from campaigns.delivery.approval_forms import ApproveForm, DeclineForm
from campaigns.delivery.approval_mails import approvers
from campaigns.delivery.audience_count import AudienceCount, count_audience
from campaigns.delivery.blueprint import bp, to_progress
from campaigns.delivery.exclusion_words import describe_exclusion
from campaigns.delivery.local_times import describe_moment
from campaigns.delivery.second_person_routes import send_approval_mails
from campaigns.delivery.tasks import end_hold
from campaigns.extensions import db
from campaigns.security import Right, requires
from campaigns.site import format_sender


@bp.get("/campaigns/<int:campaign_id>/approval")
@requires(Right.LAUNCH)
def approval(campaign_id: int) -> Any:
    """Show what goes to whom, and ask the second person to decide."""
    campaign = get_campaign(campaign_id)
    if campaign.state != CampaignState.APPROVAL:
        return to_progress(campaign_id)
    audience = count_audience()
    form = _approve_form(audience, launch_key=campaign.launch_key)
    return _page(campaign, audience, form, DeclineForm(launch_key=campaign.launch_key))


@bp.post("/campaigns/<int:campaign_id>/approve")
@requires(Right.LAUNCH)
def approve(campaign_id: int) -> Any:
    """Approve the launch, unless the number of people has changed; the same form sent twice approves once."""
    campaign, audience = get_campaign(campaign_id), count_audience()
    if campaign.state != CampaignState.APPROVAL:
        return _decided(campaign_id)
    form = _approve_form(audience)
    if form.has_changed or not form.validate():
        return _page(campaign, audience, form, DeclineForm(launch_key=campaign.launch_key)), 422
    starts_at = approvals.approve(campaign_id, by=current_user.id, launch_key=form.launch_key.data or "")
    if starts_at is None:
        return _decided(campaign_id)
    if get_campaign(campaign_id).state == CampaignState.STARTING:
        enqueue(end_hold, campaign_id, countdown=max(0.0, (starts_at - utcnow()).total_seconds()))
    send_approval_mails(campaign_id)
    flash(_("Approved. It starts as planned."), "ok")
    return to_progress(campaign_id)


@bp.post("/campaigns/<int:campaign_id>/decline")
@requires(Right.LAUNCH)
def decline(campaign_id: int) -> Any:
    """Decline the launch with a reason; the campaign is a draft again."""
    campaign, form = get_campaign(campaign_id), DeclineForm()
    if campaign.state != CampaignState.APPROVAL:
        return _decided(campaign_id)
    if not form.validate():
        audience = count_audience()
        other_form = _approve_form(audience, formdata=None, launch_key=campaign.launch_key)
        return _page(campaign, audience, other_form, form), 422
    key, reason = form.launch_key.data or "", " ".join((form.reason.data or "").split())
    if not approvals.decline(campaign_id, by=current_user.id, launch_key=key, reason=reason):
        return _decided(campaign_id)
    send_approval_mails(campaign_id)
    flash(_("Declined. The campaign is a draft again, and nothing was sent."), "ok")
    return redirect(url_for("compose.show_campaign", campaign_id=campaign_id), code=303)


def _decided(campaign_id: int) -> Any:
    if get_campaign(campaign_id).state == CampaignState.APPROVAL:
        flash(_("It was requested again, or by yourself: somebody else has to approve. Nothing was changed."), "warn")
    else:
        flash(_("Somebody has decided on this in the meantime. Nothing was changed."), "info")
    return to_progress(campaign_id)


def _approve_form(audience: AudienceCount, **options: Any) -> ApproveForm:
    return ApproveForm(people=audience.recipients, confirm_from=current_settings().confirm_from, **options)


def _page(campaign: Campaign, audience: AudienceCount, form: ApproveForm, refusal: DeclineForm) -> str:
    asker = db.session.get(User, campaign.launched_by_id) if campaign.launched_by_id else None
    is_due = campaign.scheduled_at is not None and campaign.scheduled_at <= utcnow()
    return render_template(
        "delivery/approval.html",
        campaign=campaign,
        audience=audience,
        form=form,
        refusal=refusal,
        excluded=[(describe_exclusion(reason), people) for reason, people in audience.excluded.items()],
        asker=asker,
        is_own=asker is not None and asker.id == current_user.id,
        others=approvers(campaign.launched_by_id),
        sender=format_sender(*sender_of(campaign)),
        is_due=is_due,
        starts=describe_moment(campaign.scheduled_at, campaign.schedule_zone or "UTC") if campaign.scheduled_at else "",
    )
