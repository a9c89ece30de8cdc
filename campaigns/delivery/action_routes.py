"""What people do after a campaign has ended, or instead of a start that is held; each with the number first."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user

from campaigns.audit.services import Target, mask, record_view
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.queries import get_campaign, target_of
from campaigns.config import current_settings
from campaigns.delivery import copy_guard, reopening
from campaigns.delivery.action_forms import ActionForm, TypedWord
from campaigns.delivery.actions import ACTIONS, Action, launched_words, left_words, not_ended_words, started_words
from campaigns.delivery.audience_count import count_audience
from campaigns.delivery.blueprint import bp, to_progress, to_report
from campaigns.delivery.forms import LaunchForm
from campaigns.delivery.launch import launch_late
from campaigns.delivery.local_times import describe_moment
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.reopening_approval import needs_second_person
from campaigns.delivery.repeating import leave_out_what_is_past
from campaigns.delivery.second_person_routes import approve_or_ask, describe_second_person, send_approval_mails
from campaigns.delivery.states import ENDED
from campaigns.delivery.tasks import end_hold, publish_round, return_rows
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.security import Right, requires

TYPE_WORD_ABOVE = 20
PEOPLE_SHOWN = 200


@bp.get("/campaigns/<int:campaign_id>/uncertain")
@requires(Right.LAUNCH)
def uncertain(campaign_id: int) -> Any:
    """Name the people whose mail has no answer and on whom nobody has decided."""
    campaign = get_campaign(campaign_id)
    record_view("report.uncertain_seen", target_of(campaign))
    return render_template(
        "delivery/uncertain.html",
        campaign=campaign,
        people=reopening.undecided_people(campaign_id, limit=PEOPLE_SHOWN),
        count=reopening.count_people(campaign_id, reopening.Rest.UNCERTAIN),
        has_ended=_has_ended(campaign),
    )


@bp.post("/campaigns/<int:campaign_id>/uncertain/<int:position>/leave")
@requires(Right.LAUNCH)
def leave_one(campaign_id: int, position: int) -> Any:
    """Leave one person's mail as it is: not certain, and decided on."""
    person = _uncertain_person(campaign_id, position)
    if reopening.leave(campaign_id, position):
        flash(_("The mail to %(address)s is left as it is.", address=person.address), "ok")
    return redirect(url_for("delivery.uncertain", campaign_id=campaign_id), code=303)


@bp.get("/campaigns/<int:campaign_id>/uncertain/<int:position>/send-again")
@requires(Right.LAUNCH)
def send_one_again_form(campaign_id: int, position: int) -> Any:
    """Name the person, and warn that the mail may arrive twice."""
    person = _uncertain_person(campaign_id, position)
    record_view("report.person_seen", Target("delivery", f"{campaign_id}/{position}", mask(person.address)))
    return render_template("delivery/send_again.html", campaign=get_campaign(campaign_id), person=person)


@bp.post("/campaigns/<int:campaign_id>/uncertain/<int:position>/send-again")
@requires(Right.LAUNCH)
def send_one_again(campaign_id: int, position: int) -> Any:
    """Send to one person again whose mail has no answer."""
    person = db.session.get(Delivery, (campaign_id, position))
    if person is None:
        raise NotFound(_("There is no such person in this campaign."))
    address = person.address
    if needs_second_person(get_campaign(campaign_id), reopening.Rest.UNCERTAIN, 1):
        flash(
            _("On this site a second person approves every sending. Ask for it here, for all who are uncertain."),
            "info",
        )
        return redirect(url_for("delivery.action_form", campaign_id=campaign_id, action="send-again"), code=303)
    if reopening.send_again(campaign_id, position):
        enqueue(publish_round, campaign_id)
        send_approval_mails(campaign_id)
        flash(_("The mail is sent to %(address)s again.", address=address), "ok")
    else:
        flash(_("The mail to %(address)s is not uncertain any more. Nothing was changed.", address=address), "info")
    return to_progress(campaign_id)


@bp.get("/campaigns/<int:campaign_id>/after/<action>")
@requires(Right.LAUNCH)
def action_form(campaign_id: int, action: str) -> Any:
    """Show how many people an action concerns, and ask for it."""
    campaign, chosen = get_campaign(campaign_id), _action(action)
    people = reopening.count_people(campaign_id, chosen.rest)
    if refusal := _refusal(campaign, chosen, people):
        return refusal
    return _action_page(campaign, action, _action_form(chosen, people))


@bp.post("/campaigns/<int:campaign_id>/after/<action>")
@requires(Right.LAUNCH)
def act(campaign_id: int, action: str) -> Any:
    """Do it for exactly those people, unless their number has changed meanwhile; a repeat does nothing more."""
    campaign, chosen = get_campaign(campaign_id), _action(action)
    people = reopening.count_people(campaign_id, chosen.rest)
    if refusal := _refusal(campaign, chosen, people):
        return refusal
    form = _action_form(chosen, people)
    if form.has_changed or not form.validate():
        return _action_page(campaign, action, form), 422
    needs_two = chosen.is_sending and needs_second_person(campaign, chosen.rest, people)
    if needs_two and not approve_or_ask(campaign_id, action, people):
        return redirect(url_for("delivery.action_form", campaign_id=campaign_id, action=action), code=303)
    return _do(campaign_id, chosen, people)


@bp.get("/campaigns/<int:campaign_id>/launch-late")
@requires(Right.LAUNCH)
def launch_late_form(campaign_id: int) -> Any:
    """Show to how many people a schedule goes that has missed its time, and ask whether it still should."""
    campaign = get_campaign(campaign_id)
    return _late_page(campaign, _late_form()) if _is_late(campaign) else to_progress(campaign_id)


@bp.post("/campaigns/<int:campaign_id>/launch-late")
@requires(Right.LAUNCH)
def launch_late_now(campaign_id: int) -> Any:
    """Launch a schedule that has missed its time; the same form sent twice launches once."""
    campaign = get_campaign(campaign_id)
    if not _is_late(campaign):
        return to_progress(campaign_id)
    form = _late_form()
    if form.has_changed or not form.people or not form.validate():
        return _late_page(campaign, form), 422
    if launch_late(campaign_id, by=current_user.id):
        enqueue(end_hold, campaign_id, countdown=current_settings().hold_seconds)
        flash(launched_words(form.people), "ok")
    return to_progress(campaign_id)


@bp.get("/copied-database")
@requires(Right.LAUNCH)
def copied_database() -> Any:
    """Say why nothing is sent: this database looks like a copy, or like an old backup."""
    return render_template(
        "delivery/copied_database.html",
        hold=copy_guard.find_hold(),
        campaigns=copy_guard.campaigns_in_flight(),
        describe_moment=describe_moment,
    )


@bp.post("/copied-database")
@requires(Right.LAUNCH)
def confirm_database() -> Any:
    """Let this database send from now on; what was being sent is paused."""
    if not copy_guard.is_held():
        flash(_("Nothing is held, so there was nothing to confirm."), "info")
        return redirect(url_for("reports.dashboard"), code=303)
    leave_out_what_is_past()
    paused = copy_guard.confirm()
    words = ngettext("%(num)s campaign was paused.", "%(num)s campaigns were paused.", paused) if paused else ""
    flash(f"{_('This database sends from now on.')} {words}".strip(), "ok")
    return redirect(url_for("reports.dashboard"), code=303)


def _do(campaign_id: int, action: Action, people: int) -> Any:
    if not action.is_sending:
        flash(left_words(reopening.leave(campaign_id)), "ok")
        return to_report(campaign_id)
    if reopening.reopen(campaign_id, action.rest):
        enqueue(return_rows, campaign_id, action.rest.value)
        send_approval_mails(campaign_id)
        flash(started_words(people), "ok")
    else:
        flash(not_ended_words(), "info")
    return to_progress(campaign_id)


def _refusal(campaign: Campaign, action: Action, people: int) -> Any:
    """Lead away from an action that a campaign cannot take now, or for nobody; None when it can."""
    is_underway = campaign.state == CampaignState.PAUSED and campaign.pause_reason == action.rest.pause_reason
    if action.is_sending and not _has_ended(campaign) and not is_underway:
        flash(not_ended_words(), "info")
        return to_progress(campaign.id)
    if people:
        return None
    flash(str(action.nobody), "info")
    return to_report(campaign.id)


def _action(name: str) -> Action:
    if name not in ACTIONS:
        raise NotFound(_("There is no such page."))
    return ACTIONS[name]


def _word(action: Action, people: int) -> TypedWord | None:
    """Return what has to be typed: a word for the uncertain, the number for those who get the mail as at a launch."""
    if action.word:
        return TypedWord(str(action.word), action.words_elsewhere) if people > TYPE_WORD_ABOVE else None
    return TypedWord(str(people)) if people >= current_settings().confirm_from else None


def _action_form(action: Action, people: int) -> ActionForm:
    return ActionForm(people=people, word_for=lambda number: _word(action, number))


def _action_page(campaign: Campaign, name: str, form: ActionForm) -> str:
    return render_template(
        "delivery/action.html",
        campaign=campaign,
        action=ACTIONS[name],
        name=name,
        form=form,
        second=describe_second_person(campaign, name, form.people),
    )


def _late_form() -> LaunchForm:
    people, confirm_from = count_audience().recipients, current_settings().confirm_from
    form = LaunchForm(people=people, confirm_from=confirm_from, zones=("UTC",))
    form.when.data = "now"
    return form


def _late_page(campaign: Campaign, form: LaunchForm) -> str:
    assert campaign.scheduled_at is not None
    return render_template(
        "delivery/launch_late.html",
        campaign=campaign,
        form=form,
        missed=describe_moment(campaign.scheduled_at, campaign.schedule_zone or "UTC"),
    )


def _is_late(campaign: Campaign) -> bool:
    return campaign.state == CampaignState.SCHEDULED and bool(campaign.not_after and campaign.not_after <= utcnow())


def _has_ended(campaign: Campaign) -> bool:
    return campaign.state in ENDED and campaign.finished_at is not None


def _uncertain_person(campaign_id: int, position: int) -> Delivery:
    person = db.session.get(Delivery, (campaign_id, position))
    if person is None or person.state != DeliveryState.UNCERTAIN:
        raise NotFound(_("This mail is not uncertain any more, or there is no such person in this campaign."))
    return person
