"""The launch page and the buttons that act on a launched campaign: take back, pause, go on, cancel the rest."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.checks import Level, is_blocked
from campaigns.compose.models import Campaign
from campaigns.compose.queries import check_campaign, get_campaign
from campaigns.compose.wording import describe_finding
from campaigns.config import current_settings

# Imported so that their pages hang on the blueprint too, and the mails are known.
from campaigns.delivery import action_routes, approval_routes, mails, repeat_routes, states
from campaigns.delivery import approval as approvals
from campaigns.delivery.actions import launched_words
from campaigns.delivery.approval_mails import approvers
from campaigns.delivery.audience_count import AudienceCount, count_audience
from campaigns.delivery.blueprint import bp, to_progress
from campaigns.delivery.brake import resume_past_brake
from campaigns.delivery.exclusion_words import describe_exclusion
from campaigns.delivery.forms import CancelForm, LaunchForm, cancel_word, zone_choices
from campaigns.delivery.launch import Launch, launch_at, launch_now
from campaigns.delivery.local_times import describe_moment
from campaigns.delivery.queries import campaign_totals
from campaigns.delivery.second_person_routes import send_approval_mails
from campaigns.delivery.tasks import cancel_rest, end_hold, publish_round
from campaigns.errors import UserError
from campaigns.languages import choose_timezone, zone
from campaigns.mail.tasks import send_mail
from campaigns.page_frame import url_if
from campaigns.presentation import format_number
from campaigns.security import Right, requires
from campaigns.site import current_site, default_sender, format_sender

__all__ = ["action_routes", "approval_routes", "bp", "mails", "repeat_routes"]


@bp.get("/campaigns/<int:campaign_id>/launch")
@requires(Right.LAUNCH)
def launch_form(campaign_id: int) -> Any:
    """Show what goes to whom, and ask for the launch."""
    campaign = get_campaign(campaign_id)
    if not campaign.is_editable:
        return to_progress(campaign_id)
    audience = count_audience()
    form = _launch_form(audience)
    form.launch_key.data = secrets.token_urlsafe(24)
    return _launch_page(campaign, audience, form)


@bp.post("/campaigns/<int:campaign_id>/launch")
@requires(Right.LAUNCH)
def launch(campaign_id: int) -> Any:
    """Launch or schedule the campaign; the same form sent twice launches once."""
    campaign = get_campaign(campaign_id)
    if not campaign.is_editable:
        return _already_launched(campaign, request.form.get("launch_key", ""))
    audience = count_audience()
    form = _launch_form(audience)
    if form.has_changed or not form.validate():
        return _launch_page(campaign, audience, form), 422
    try:
        launched = _launch(campaign_id, form)
    except UserError as error:
        campaign = get_campaign(campaign_id)
        if not campaign.is_editable:
            return _already_launched(campaign, form.launch_key.data or "")
        form.form_errors.append(error.message)
        return _launch_page(campaign, audience, form), error.status_code
    flash(_launched_message(launched, audience.recipients, form.planned_at), "ok")
    return to_progress(campaign_id)


@bp.get("/campaigns/<int:campaign_id>/launch/when")
@requires(Right.LAUNCH)
def launch_when(campaign_id: int) -> str:
    """Say in words which moment the chosen date, time and zone are; part of the launch page."""
    form = LaunchForm(request.args, meta={"csrf": False}, people=0, confirm_from=10**15, zones=_zones())
    form.when.data = "later"
    form.validate()
    return render_template("delivery/when.html", form=form, said=_moment_words(form))


@bp.post("/campaigns/<int:campaign_id>/take-back")
@requires(Right.LAUNCH)
def take_back(campaign_id: int) -> Response:
    """Return a campaign in its hold, or a scheduled one, to its draft."""
    get_campaign(campaign_id)
    if not states.take_back(campaign_id) and not approvals.withdraw(campaign_id):
        flash(_("It is too late to take the campaign back: sending has begun. You can still pause it."), "warn")
        return to_progress(campaign_id)
    send_approval_mails(campaign_id)
    flash(_("The campaign is a draft again. Nothing was sent."), "ok")
    edit = url_if("compose.edit_campaign", "compose.edit", campaign_id=campaign_id)
    return redirect(edit or url_for("delivery.launch_form", campaign_id=campaign_id), code=303)


@bp.post("/campaigns/<int:campaign_id>/pause")
@requires(Right.LAUNCH)
def pause(campaign_id: int) -> Response:
    """Stop sending; mails on their way finish."""
    get_campaign(campaign_id)
    if states.pause(campaign_id):
        flash(_("Paused. Mails that are already on their way will still arrive."), "ok")
    else:
        flash(_("There was nothing to pause: the campaign is not sending."), "info")
    return to_progress(campaign_id)


@bp.post("/campaigns/<int:campaign_id>/resume")
@requires(Right.LAUNCH)
def resume(campaign_id: int) -> Response:
    """Go on sending to exactly those who have not got the mail."""
    get_campaign(campaign_id)
    if resume_past_brake(campaign_id):
        enqueue(publish_round, campaign_id)
        left = campaign_totals(campaign_id).waiting
        flash(
            ngettext(
                "Sending goes on to %(people)s person who has not got it.",
                "Sending goes on to %(people)s people who have not got it.",
                left,
                people=format_number(left),
            ),
            "ok",
        )
    else:
        flash(_("The campaign was not paused, so there was nothing to continue."), "info")
    return to_progress(campaign_id)


@bp.get("/campaigns/<int:campaign_id>/cancel")
@requires(Right.LAUNCH)
def cancel_form(campaign_id: int) -> Any:
    """Ask, with the numbers, whether the rest is to be cancelled."""
    campaign = get_campaign(campaign_id)
    if campaign.state not in states.STOPPABLE:
        return to_progress(campaign_id)
    return _cancel_page(campaign, CancelForm(left=_left(campaign_id)))


@bp.post("/campaigns/<int:campaign_id>/cancel")
@requires(Right.LAUNCH)
def cancel(campaign_id: int) -> Any:
    """End the campaign for everybody who still waits; cannot be undone."""
    campaign = get_campaign(campaign_id)
    form = CancelForm(left=_left(campaign_id))
    if campaign.state in states.STOPPABLE and not form.validate():
        return _cancel_page(campaign, form), 422
    if states.cancel(campaign_id):
        enqueue(cancel_rest, campaign_id)
        flash(_("Cancelled. Nobody else gets this mail."), "ok")
    else:
        flash(_("The campaign had already ended, so there was nothing to cancel."), "info")
    return to_progress(campaign_id)


def _launch(campaign_id: int, form: LaunchForm) -> Launch:
    key, by = form.launch_key.data or secrets.token_urlsafe(24), current_user.id
    if form.planned_at:
        launched = launch_at(campaign_id, by=by, launch_key=key, at=form.planned_at, zone=form.zone.data)
    else:
        launched = launch_now(campaign_id, by=by, launch_key=key)
    for mail_id in launched.mail_ids:
        enqueue(send_mail, mail_id)
    if not form.planned_at and not launched.waits_for_approval:
        enqueue(end_hold, campaign_id, countdown=launched.hold_seconds)
    return launched


def _already_launched(campaign: Campaign, launch_key: str) -> Response:
    if campaign.launch_key != launch_key:
        flash(_("Somebody else has launched this campaign in the meantime."), "warn")
    return to_progress(campaign.id)


def _launched_message(launched: Launch, recipients: int, planned_at: datetime | None) -> str:
    if launched.waits_for_approval:
        return str(_("Approval is asked for. Nothing is sent until a second person has approved it."))
    if planned_at:
        return str(_("Scheduled. The recipients are counted when it starts."))
    return launched_words(recipients)


def _launch_form(audience: AudienceCount) -> LaunchForm:
    return LaunchForm(people=audience.recipients, confirm_from=current_settings().confirm_from, zones=_zones())


def _zones() -> tuple[str, ...]:
    return zone_choices(choose_timezone(), current_site().timezone)


def _launch_page(campaign: Campaign, audience: AudienceCount, form: LaunchForm) -> str:
    findings = check_campaign(campaign)
    return render_template(
        "delivery/launch.html",
        campaign=campaign,
        form=form,
        audience=audience,
        excluded=[(describe_exclusion(reason), people) for reason, people in audience.excluded.items()],
        findings=[(finding, describe_finding(finding)) for finding in findings if finding.level is not Level.OK],
        passed=[describe_finding(finding) for finding in findings if finding.level is Level.OK],
        is_blocked=is_blocked(findings),
        must_be_approved=approvals.needs_approval(audience.recipients),
        nobody_to_approve=not approvers(current_user.id),
        sender=format_sender(campaign.sender_name or default_sender()[0], default_sender()[1]),
        said=_moment_words(form),
        default_day=_tomorrow(form),
    )


def _tomorrow(form: LaunchForm) -> str:
    """Fill in tomorrow at ten, so that a schedule needs no more than a look."""
    tomorrow = utcnow().astimezone(zone(form.zone.data)) + timedelta(days=1)
    form.day.data = form.day.data or f"{tomorrow:%Y-%m-%d}"
    form.clock.data = form.clock.data or "10:00"
    return str(form.day.data)


def _moment_words(form: LaunchForm) -> dict[str, Any] | None:
    if not form.planned_at:
        return None
    seconds = (form.planned_at - utcnow()).total_seconds()
    return {"words": describe_moment(form.planned_at, form.zone.data), "seconds": seconds}


def _cancel_page(campaign: Campaign, form: CancelForm) -> str:
    totals = campaign_totals(campaign.id)
    return render_template("delivery/cancel.html", campaign=campaign, form=form, totals=totals, word=cancel_word())


def _left(campaign_id: int) -> int:
    totals = campaign_totals(campaign_id)
    return totals.waiting + totals.deferred
