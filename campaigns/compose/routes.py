"""The list of campaigns, what is done with a whole campaign, and its checks."""

from __future__ import annotations

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

# Imported so that their pages hang on the blueprint too.
from campaigns.compose import composer_routes, queries, send_test_routes, services
from campaigns.compose.blueprint import bp, go_to
from campaigns.compose.checks import Level, is_blocked
from campaigns.compose.mails import sender_of
from campaigns.compose.standings import standings_of
from campaigns.compose.wording import describe_finding
from campaigns.errors import Conflict
from campaigns.security import Right, can, requires

__all__ = ["bp", "composer_routes", "send_test_routes"]


@bp.get("/campaigns")
@requires(Right.VIEW)
def list_campaigns() -> str:
    """Show the campaigns of a tab."""
    tab = request.args.get("tab", "all")
    search = request.args.get("q", "").strip()
    page = queries.list_campaigns(
        tab,
        search=search,
        before=request.args.get("before", type=int),
        after=request.args.get("after", type=int),
    )
    return render_template(
        "compose/list.html",
        page=page,
        tab=tab,
        search=search,
        counts=queries.count_campaigns(),
        standings=standings_of(page.campaigns),
    )


@bp.post("/campaigns/new")
@requires(Right.WRITE)
def create_campaign() -> Response:
    """Add an empty draft and open it."""
    campaign_id = services.create_campaign(created_by_id=current_user.id)
    return go_to("compose.edit_campaign", campaign_id)


@bp.get("/campaigns/<int:campaign_id>")
@requires(Right.VIEW)
def show_campaign(campaign_id: int) -> str | Response:
    """Show a campaign's content; a draft opens in the composer for those who may write."""
    campaign = queries.get_campaign(campaign_id)
    if campaign.is_editable and can(Right.WRITE):
        return go_to("compose.edit_campaign", campaign_id)
    standing = standings_of([campaign])[campaign_id]
    return render_template("compose/show.html", campaign=campaign, sender=sender_of(campaign), standing=standing)


@bp.post("/campaigns/<int:campaign_id>/duplicate")
@requires(Right.WRITE)
def duplicate_campaign(campaign_id: int) -> Response:
    """Open a new draft with the same content."""
    copy_id = services.duplicate_campaign(campaign_id, created_by_id=current_user.id)
    flash(_("This is a copy. The other campaign stays as it is."), "ok")
    return go_to("compose.edit_campaign", copy_id)


@bp.post("/campaigns/<int:campaign_id>/delete")
@requires(Right.WRITE)
def delete_campaign(campaign_id: int) -> Response:
    """Delete a draft."""
    return _change_in_list(services.delete_draft, campaign_id, _("The draft has been deleted."))


@bp.post("/campaigns/<int:campaign_id>/archive")
@requires(Right.WRITE)
def archive_campaign(campaign_id: int) -> Response:
    """Put an ended campaign out of the list."""
    return _change_in_list(services.archive_campaign, campaign_id, _("Archived. It is in the tab “Archived” now."))


@bp.post("/campaigns/<int:campaign_id>/unarchive")
@requires(Right.WRITE)
def unarchive_campaign(campaign_id: int) -> Response:
    """Put an archived campaign back into the list."""
    return _change_in_list(services.unarchive_campaign, campaign_id, _("Back in the list."))


@bp.get("/campaigns/<int:campaign_id>/check")
@requires(Right.VIEW)
def check_campaign(campaign_id: int) -> str:
    """Show what the checks find in the saved content."""
    campaign = queries.get_campaign(campaign_id)
    findings = queries.check_campaign(campaign)
    by_level = {level: [finding for finding in findings if finding.level is level] for level in Level}
    return render_template(
        "compose/check.html",
        campaign=campaign,
        by_level=by_level,
        blocked=is_blocked(findings),
        describe=describe_finding,
    )


def _change_in_list(change: Callable[[int], None], campaign_id: int, message: str) -> Response:
    try:
        change(campaign_id)
    except Conflict as conflict:
        flash(conflict.message, "bad")
    else:
        flash(message, "ok")
    return redirect(url_for("compose.list_campaigns"), code=303)
