"""The composer: writing, saving by hand and by itself, and the preview."""

from __future__ import annotations

from dataclasses import replace

from flask import Response, flash, jsonify, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from campaigns.audience.queries import count_receivers
from campaigns.audit.services import Target, person_target, record_view
from campaigns.clock import utcnow
from campaigns.compose import queries, services
from campaigns.compose.blueprint import bp, go_to
from campaigns.compose.checks import CLIPPED_FROM_BYTES
from campaigns.compose.forms import CampaignForm
from campaigns.compose.mails import sender_of
from campaigns.compose.merge import OutputTooLong
from campaigns.compose.models import Campaign
from campaigns.compose.previewing import (
    Envelope,
    build_preview_message,
    people_to_preview_as,
    preview_fields,
    previewed_person,
    render_preview,
)
from campaigns.compose.rendering import ContentError
from campaigns.compose.services import DraftConflict
from campaigns.compose.wording import describe_problem
from campaigns.errors import Conflict, NotFound
from campaigns.presentation import format_time
from campaigns.security import Right, can, csp, requires
from campaigns.site import default_sender


@bp.get("/campaigns/<int:campaign_id>/edit")
@requires(Right.WRITE)
def edit_campaign(campaign_id: int) -> str | AnyResponse:
    """Show the composer, with the mistakes that the saved draft still holds."""
    campaign = queries.get_campaign(campaign_id)
    if not campaign.is_editable:
        return go_to("compose.show_campaign", campaign_id)
    form = _campaign_form()
    form.show_stored(campaign)
    _show_mistakes(form)
    return _composer(campaign, form)


@bp.post("/campaigns/<int:campaign_id>/edit")
@requires(Right.WRITE)
def save_campaign(campaign_id: int) -> tuple[str, int] | AnyResponse:
    """Save the draft and go where the button says; on a conflict show both versions and lose nothing."""
    campaign = queries.get_campaign(campaign_id)
    form = _campaign_form()
    if not form.validate():
        return _composer(campaign, form), 422
    try:
        services.save_draft(campaign_id, form.draft(), version=form.version.data or 0)
    except DraftConflict as conflict:
        form.version.data = conflict.latest.version
        return _composer(conflict.latest, form, conflict=True), conflict.status_code
    except Conflict as conflict:
        flash(conflict.message, "bad")
        return go_to("compose.show_campaign", campaign_id)
    steps = {"check": "compose.check_campaign", "test": "compose.test_campaign"}
    if form.then.data not in steps:
        flash(_("Saved."), "ok")
    return go_to(steps.get(form.then.data or "", "compose.edit_campaign"), campaign_id)


@bp.post("/campaigns/<int:campaign_id>/autosave")
@requires(Right.WRITE)
def autosave_campaign(campaign_id: int) -> tuple[Response, int]:
    """Save the draft while it is being written; answers with the new version, or what is wrong."""
    form = _campaign_form()
    if not form.validate():
        return jsonify(errors={name: [str(error) for error in errors] for name, errors in form.errors.items()}), 422
    try:
        version = services.save_draft(campaign_id, form.draft(), version=form.version.data or 0)
    except (Conflict, NotFound) as error:
        return jsonify(message=error.message), error.status_code
    return jsonify(version=version, message=_saved_message(form)), 200


@bp.get("/campaigns/<int:campaign_id>/preview")
@requires(Right.VIEW)
@csp("preview")
def preview_campaign(campaign_id: int) -> str:
    """Show the saved content in the preview frame."""
    campaign = queries.get_campaign(campaign_id)
    _note_whose_mail(request.args.get("as", ""))
    return render_preview(
        queries.source_of(campaign),
        _envelope(campaign),
        view=request.args.get("view", ""),
        person=request.args.get("as", ""),
        may_see_users=can(Right.SEE_USERS),
    )


@bp.post("/campaigns/<int:campaign_id>/preview")
@requires(Right.WRITE)
@csp("preview")
def preview_unsaved(campaign_id: int) -> str:
    """Show the form's content in the preview frame; saves nothing."""
    campaign = queries.get_campaign(campaign_id)
    form = _campaign_form()
    _note_whose_mail(form.preview_as.data or "")
    return render_preview(
        form.source(),
        replace(_envelope(campaign), sender=(form.sender_name.data or default_sender()[0], sender_of(campaign)[1])),
        view=form.preview_mode.data or "",
        person=form.preview_as.data or "",
        may_see_users=can(Right.SEE_USERS),
    )


@bp.get("/campaigns/<int:campaign_id>/message.eml")
@requires(Right.VIEW)
def download_message(campaign_id: int) -> AnyResponse:
    """Download the mail as a file that mail programs open."""
    campaign = queries.get_campaign(campaign_id)
    fields = preview_fields(campaign.language, "sample", may_see_users=False)
    try:
        rendered = queries.compile_campaign(campaign).render(fields)
    except (ContentError, OutputTooLong):
        flash(_("The mail cannot be created until the problems in the checks are fixed."), "bad")
        return go_to("compose.check_campaign", campaign_id)
    raw = build_preview_message(rendered, _envelope(campaign), to_address=fields["email"], to_name=fields["name"])
    disposition = f'attachment; filename="campaign-{campaign_id}.eml"'
    return Response(raw, mimetype="message/rfc822", headers={"Content-Disposition": disposition})


def _campaign_form() -> CampaignForm:
    if not can(Right.SEE_USERS):
        return CampaignForm(people=None)
    if people := people_to_preview_as():
        record_view("user.offered", Target("user"))
    return CampaignForm(people=people)


def _note_whose_mail(person: str) -> None:
    if user := previewed_person(person, may_see_users=can(Right.SEE_USERS)):
        record_view("user.mail_previewed", person_target(user.id, user.email, role=user.role))


def _composer(campaign: Campaign, form: CampaignForm, *, conflict: bool = False) -> str:
    return render_template(
        "compose/edit.html",
        campaign=campaign,
        form=form,
        conflict=conflict,
        field_names=queries.known_fields(),
        recipients=count_receivers(),
        sender=sender_of(campaign),
        size=_size_of(form),
    )


def _show_mistakes(form: CampaignForm) -> None:
    """Put the mistakes in merge fields beside the form's fields; they never keep a draft from being saved."""
    try:
        queries.compile_source(form.source())
    except ContentError as error:
        for part, problems in error.problems.items():
            form[part].errors = [describe_problem(problem, with_place=part == "body") for problem in problems]


def _saved_message(form: CampaignForm) -> str:
    saved = _("Saved at %(time)s", time=format_time(utcnow(), "short"))
    size = _size_of(form)
    return f"{saved} · {size}" if size else saved


def _size_of(form: CampaignForm) -> str:
    """Return the mail's size beside the size from which it is cut off, or nothing while it cannot be made."""
    draft = form.draft()
    try:
        size = queries.sent_html_bytes(form.source(), opens=draft.tracks_opens, clicks=draft.tracks_clicks)
    except ContentError:
        return ""
    return f"{size / 1000:.0f} / {CLIPPED_FROM_BYTES / 1000:.0f} KB" if size is not None else ""


def _envelope(campaign: Campaign) -> Envelope:
    return Envelope(sender=sender_of(campaign), reply_to=campaign.reply_to)
