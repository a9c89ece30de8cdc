"""The page on which a campaign is repeated: the rule, the next days, and what became of those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.compose.models import Campaign
from campaigns.compose.queries import get_campaign, get_campaigns
from campaigns.compose.standings import standings_of
from campaigns.crontab_words import describe_rule
from campaigns.delivery import repeat_services, repeating
from campaigns.delivery.blueprint import bp
from campaigns.delivery.forms import zone_choices
from campaigns.delivery.local_times import describe_moment, zone_label
from campaigns.delivery.models import Recurrence
from campaigns.delivery.queries import past_occurrences
from campaigns.delivery.repeat_forms import RepeatForm
from campaigns.errors import UserError
from campaigns.languages import choose_timezone
from campaigns.security import Right, requires
from campaigns.site import current_site

DAYS_SHOWN = 5


@bp.get("/campaigns/<int:campaign_id>/repeat")
@requires(Right.LAUNCH)
def repeat_form(campaign_id: int) -> str:
    """Show how a campaign is repeated, or the form to begin with it."""
    campaign = get_campaign(campaign_id)
    recurrence = repeat_services.find_recurrence(campaign_id)
    form = _form(recurrence)
    if recurrence:
        form.show_stored(recurrence)
    return _page(campaign, form)


@bp.post("/campaigns/<int:campaign_id>/repeat")
@requires(Right.LAUNCH)
def repeat(campaign_id: int) -> Any:
    """Begin a repetition or change its rule; the same form sent twice changes nothing more."""
    campaign = get_campaign(campaign_id)
    form = _form(repeat_services.find_recurrence(campaign_id))
    if not form.validate():
        return _page(campaign, form), 422
    try:
        repeat_services.repeat_campaign(campaign_id, form.repetition, by=current_user.id)
    except UserError as error:
        form.form_errors.append(error.message)
        return _page(get_campaign(campaign_id), form), error.status_code
    flash(_("Saved. Copies of this campaign are sent by this rule."), "ok")
    return _back(campaign_id)


@bp.post("/campaigns/<int:campaign_id>/repeat/pause")
@requires(Right.LAUNCH)
def pause_repetition(campaign_id: int) -> Response:
    """Send no more copies until somebody goes on."""
    return _do(campaign_id, repeat_services.pause_repetition, _("Paused. No copy goes out until you continue."))


@bp.post("/campaigns/<int:campaign_id>/repeat/resume")
@requires(Right.LAUNCH)
def resume_repetition(campaign_id: int) -> Response:
    """Go on with the next day."""
    said = _("The repetition continues. Dates that passed in the meantime are not made up for.")
    return _do(campaign_id, repeat_services.resume_repetition, said)


@bp.post("/campaigns/<int:campaign_id>/repeat/skip")
@requires(Right.LAUNCH)
def skip_next(campaign_id: int) -> Response:
    """Leave out the next day."""
    return _do(campaign_id, repeat_services.skip_next, _("The next date is skipped."))


@bp.post("/campaigns/<int:campaign_id>/repeat/end")
@requires(Right.LAUNCH)
def end_repetition(campaign_id: int) -> Response:
    """Send no more copies for good."""
    said = _("Ended. No more copies go out; those that were sent stay as they are.")
    return _do(campaign_id, repeat_services.end_repetition, said)


def _do(campaign_id: int, change: Callable[[int], bool], said: str) -> Response:
    get_campaign(campaign_id)
    if change(campaign_id):
        flash(said, "ok")
    else:
        flash(_("The repetition has changed in the meantime. Nothing was changed."), "info")
    return _back(campaign_id)


def _back(campaign_id: int) -> Response:
    return redirect(url_for("delivery.repeat_form", campaign_id=campaign_id), code=303)


def _form(recurrence: Recurrence | None) -> RepeatForm:
    zones = zone_choices(choose_timezone(), current_site().timezone)
    if recurrence and recurrence.zone not in zones:
        zones = (recurrence.zone, *zones)
    return RepeatForm(zones=zones)


def _page(campaign: Campaign, form: RepeatForm) -> str:
    recurrence = repeat_services.find_recurrence(campaign.id)
    past = past_occurrences(recurrence.id) if recurrence else []
    days = repeating.next_days(recurrence, count=DAYS_SHOWN) if recurrence else []
    return render_template(
        "delivery/repeat.html",
        campaign=campaign,
        form=form,
        recurrence=recurrence,
        rule_words=describe_rule(recurrence.rule) if recurrence else "",
        next_days=[describe_moment(moment, recurrence.zone) for moment in days] if recurrence else [],
        past=past,
        standings=standings_of(get_campaigns([day.campaign_id for day, _totals in past if day.campaign_id])),
        zone_label=zone_label,
    )
