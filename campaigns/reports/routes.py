"""The dashboard, a campaign's live progress, and the mails of one user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, make_response, redirect, render_template, request
from flask_babel import gettext as _

from campaigns.accounts.models import User
from campaigns.audit.services import person_target, record_view
from campaigns.backlog import find_backlog
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.queries import get_campaign
from campaigns.delivery.copy_guard import IN_FLIGHT, is_held
from campaigns.delivery.local_times import describe_moment
from campaigns.delivery.states import STOPPABLE
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.page_frame import url_if

# Imported so that its pages hang on the blueprint too.
from campaigns.reports import (
    dashboard_queries,
    digest_mail,
    ledger_checks,
    person_routes,
    queries,
    repeat_attention,
    report_queries,
    report_routes,
    standings,
    tasks,
    user_curves,
)
from campaigns.reports.attention import things_to_attend
from campaigns.reports.blueprint import bp, shown_reply
from campaigns.reports.progress import Phase
from campaigns.reports.reasons import code_of, describe_pause, describe_reason
from campaigns.security import Right, can, requires, signed_in

WAITS_FOR_QUEUES = (Phase.SCHEDULED, Phase.STARTING)

__all__ = [
    "bp",
    "digest_mail",
    "ledger_checks",
    "person_routes",
    "repeat_attention",
    "report_routes",
    "standings",
    "tasks",
]


@bp.get("/")
@signed_in
def dashboard() -> Any:
    """Show what needs attention, what is sending and what was sent; people without a role have an account only."""
    if not can(Right.VIEW):
        return redirect(url_if("accounts.account", "accounts.profile") or "/account", code=303)
    return render_template(
        "reports/dashboard.html",
        attention=things_to_attend(),
        figures=dashboard_queries.figures(),
        users=user_curves.read_curve(request.args.get("days", type=int)),
        running=dashboard_queries.running_campaigns(),
        scheduled=dashboard_queries.scheduled_campaigns(),
        last=dashboard_queries.last_campaigns(),
        steps=dashboard_queries.first_steps(),
    )


@bp.get("/dashboard/running")
@requires(Right.VIEW)
def dashboard_running() -> Response:
    """Show the part of the dashboard that is polled while something is sending."""
    return _unless_unchanged(render_template("reports/_running.html", running=dashboard_queries.running_campaigns()))


@bp.get("/campaigns/<int:campaign_id>/progress")
@requires(Right.VIEW)
def progress(campaign_id: int) -> str:
    """Show where a launched campaign stands, now and as it goes on."""
    return render_template("reports/progress.html", **_progress_context(get_campaign(campaign_id)))


@bp.get("/campaigns/<int:campaign_id>/progress/live")
@requires(Right.VIEW)
def progress_live(campaign_id: int) -> Response:
    """Answer a poll with the part that changes; `seen` is the phase whose buttons the page has."""
    context = _progress_context(get_campaign(campaign_id))
    context["buttons_are_old"] = request.args.get("seen") != context["progress"].phase
    return _unless_unchanged(render_template("reports/_progress_live.html", **context))


@bp.get("/users/<int:user_id>/mails")
@requires(Right.SEE_USERS)
def user_mails(user_id: int) -> str:
    """Show every campaign that one user was a candidate of, the newest first."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound(_("There is no such user."))
    record_view("user.mails_seen", person_target(user.id, user.email, role=user.role))
    before = request.args.get("before", type=int)
    rows = report_queries.mails_of_user(user_id, before=before)
    shown = rows[: report_queries.PAGE_SIZE]
    older = shown[-1].Delivery.campaign_id if len(rows) > len(shown) else None
    return render_template("reports/user_mails.html", user=user, rows=shown, older=older, before=before, **_words())


def _progress_context(campaign: Campaign) -> dict[str, Any]:
    look = dashboard_queries.look_at(campaign)
    shows_batches = look.has_numbers
    is_moving = shows_batches and look.poll_seconds is not None
    return {
        "campaign": campaign,
        "progress": look,
        "phases": Phase,
        "batches": queries.batch_picture(campaign.id) if shows_batches else [],
        "open_batches": queries.open_batches(campaign.id) if is_moving else None,
        "refusals": _refusals(campaign.id, is_moving=is_moving) if shows_batches else [],
        "is_moving": is_moving,
        "samples": queries.recent_samples(campaign.id) if is_moving else [],
        "may_act": can(Right.LAUNCH),
        "is_stoppable": campaign.state in STOPPABLE,
        "starts": _start_words(campaign),
        "backlog": find_backlog() if look.phase in WAITS_FOR_QUEUES and not look.seconds_to_start else None,
        "is_held": campaign.state in IN_FLIGHT and is_held(),
        "missed": campaign.not_after is not None and campaign.not_after <= utcnow(),
        "hold_share": _hold_share(campaign, look.seconds_to_start),
        **_words(),
    }


def _refusals(campaign_id: int, *, is_moving: bool) -> Sequence[queries.ReasonCount]:
    """Return the last refusals while the page is polled, all of them once it is not."""
    return queries.recent_refusals(campaign_id) if is_moving else report_queries.refusals(campaign_id)


def _start_words(campaign: Campaign) -> str:
    """Say when a scheduled campaign starts, as clocks show it in the zone that it was scheduled in."""
    return describe_moment(campaign.scheduled_at, campaign.schedule_zone or "UTC") if campaign.scheduled_at else ""


def _hold_share(campaign: Campaign, seconds_left: int) -> float:
    """Return how much of the hold is left, from 1 down to 0."""
    if not campaign.hold_until or not campaign.launched_at:
        return 0.0
    return min(1.0, seconds_left / max(1.0, (campaign.hold_until - campaign.launched_at).total_seconds()))


def _words() -> dict[str, Any]:
    return {
        "describe_reason": describe_reason,
        "describe_pause": describe_pause,
        "code_of": code_of,
        "shown_reply": shown_reply,
    }


def _unless_unchanged(html: str) -> Response:
    """Answer with the fragment, or with 304 when the browser has the same already; it may keep it to compare."""
    response = make_response(html)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Cookie, Accept-Language"
    response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]
