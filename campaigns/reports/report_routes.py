"""The report of a campaign: totals, refusals, domains, people and content, and the same as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Response, render_template, request
from flask_babel import format_time as format_clock
from flask_babel import gettext as _

from campaigns.audit.services import record_export, record_view
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.queries import get_campaign, target_of
from campaigns.config import current_settings
from campaigns.csv_downloads import csv_response
from campaigns.delivery.actions import describe_counts
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.queries import campaign_totals
from campaigns.delivery.reopening import Rest, count_people
from campaigns.presentation import format_time
from campaigns.reports import report_queries
from campaigns.reports.blueprint import bp, shown_address, shown_reply
from campaigns.reports.dashboard_queries import count_undecided
from campaigns.reports.progress import FINAL_PHASES, look
from campaigns.reports.reasons import code_of, describe_reason, describe_state
from campaigns.security import Right, can, requires
from campaigns.tracking.queries import link_counts, openings_and_clicks

TABS: Final = ("summary", "links", "failures", "domains", "people", "content")
PEOPLE_FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "all": (),
    "sent": (DeliveryState.SENT,),
    "failed": (DeliveryState.FAILED,),
    "open": (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.DEFERRED),
    "uncertain": (DeliveryState.UNCERTAIN,),
    "not_sent": (DeliveryState.SKIPPED, DeliveryState.CANCELLED),
    "excluded": (DeliveryState.EXCLUDED,),
}


@bp.get("/campaigns/<int:campaign_id>/report")
@requires(Right.VIEW)
def report(campaign_id: int) -> str:
    """Show the totals, the equation, the mails over time, and who is not certain."""
    if can(Right.SEE_USERS) and report_queries.uncertain_people(campaign_id):
        record_view("report.uncertain_seen", target_of(get_campaign(campaign_id)))
    line = report_queries.rate_line(campaign_id)
    opened, clicked = openings_and_clicks(campaign_id)
    return _page(
        campaign_id,
        "summary",
        opened=opened,
        clicked=clicked,
        line=line,
        line_labels=_time_labels(line.times) if line else [],
        refusals=report_queries.refusals(campaign_id),
        not_sent=report_queries.not_sent(campaign_id),
        exclusions=report_queries.exclusions(campaign_id),
        uncertain=report_queries.uncertain_people(campaign_id),
        **_possible_actions(campaign_id),
    )


@bp.get("/campaigns/<int:campaign_id>/report/links")
@requires(Right.VIEW)
def report_links(campaign_id: int) -> str:
    """Show which links people followed."""
    return _page(campaign_id, "links", rows=link_counts(campaign_id))


@bp.get("/campaigns/<int:campaign_id>/report/failures")
@requires(Right.VIEW)
def report_failures(campaign_id: int) -> str:
    """Show why mails were refused, and what the servers said."""
    refusals = report_queries.refusals(campaign_id)
    tries = report_queries.refused_tries(campaign_id)
    return _page(
        campaign_id,
        "failures",
        refusals=refusals,
        tries=tries,
        keep_days=current_settings().keep_attempts_days,
        **_possible_actions(campaign_id, Rest.FAILED),
    )


@bp.get("/campaigns/<int:campaign_id>/report/domains")
@requires(Right.VIEW)
def report_domains(campaign_id: int) -> str:
    """Show what became of the mails to each domain."""
    return _page(campaign_id, "domains", domains=report_queries.domains(campaign_id))


@bp.get("/campaigns/<int:campaign_id>/report/people")
@requires(Right.VIEW)
def report_people(campaign_id: int) -> str:
    """Show the ledger's rows, or why one address did (not) get the mail."""
    if can(Right.SEE_USERS):
        record_view("report.people_seen", target_of(get_campaign(campaign_id)))
    search = request.args.get("q", "").strip()
    chosen = request.args.get("state", "all")
    # Who may not see people must know the address already: the beginning of one would spell out the rest.
    found = report_queries.find_people(campaign_id, search, exact=not can(Right.SEE_USERS)) if search else []
    page = report_queries.people_page(
        campaign_id,
        states=PEOPLE_FILTERS.get(chosen, ()),
        after=request.args.get("after", type=int),
        before=request.args.get("before", type=int),
    )
    return _page(
        campaign_id,
        "people",
        search=search,
        chosen=chosen,
        filters=_filters(),
        found=found,
        page=page,
        absence=_absence(get_campaign(campaign_id), search) if search and not found else "",
        absent_user=report_queries.why_not_there(search)[0] if search and not found and can(Right.SEE_USERS) else None,
        describe_state=describe_state,
    )


@bp.get("/campaigns/<int:campaign_id>/report/content")
@requires(Right.VIEW)
def report_content(campaign_id: int) -> str:
    """Show the mail as it was sent."""
    return _page(campaign_id, "content")


@bp.get("/campaigns/<int:campaign_id>/report/people.csv")
@requires(Right.SEE_USERS)
def people_file(campaign_id: int) -> Response:
    """Answer with every candidate and what became of them; `state` as on the page."""
    campaign, state = get_campaign(campaign_id), request.args.get("state", "all")
    states = PEOPLE_FILTERS.get(state, ())
    rows = report_queries.count_people(campaign_id, states=states)
    _record_file("report.people_exported", campaign, rows=rows, state=state)
    header = [
        _("Address"), _("State"), _("Reason"), _("Attempts"), _("Settled at (UTC)"), _("Server response"),
        _("First opened (UTC)"), _("First clicked (UTC)"),
    ]  # fmt: skip
    people = report_queries.read_people(campaign_id, states=states)
    return csv_response(f"campaign-{campaign_id}-people", header, _person_rows(people))


@bp.get("/campaigns/<int:campaign_id>/report/failures.csv")
@requires(Right.VIEW)
def failures_file(campaign_id: int) -> Response:
    """Answer with the refusals by reason."""
    campaign = get_campaign(campaign_id)
    header = [_("State"), _("Reason"), _("In words"), _("People"), _("Server response")]
    rows = [
        (row.state, row.reason, describe_reason(row.reason, row.state), row.people, shown_reply(row.reply))
        for row in report_queries.refusals(campaign_id)
    ]
    _record_file("report.failures_exported", campaign, rows=len(rows))
    return csv_response(f"campaign-{campaign_id}-failures", header, rows)


@bp.get("/campaigns/<int:campaign_id>/report/domains.csv")
@requires(Right.VIEW)
def domains_file(campaign_id: int) -> Response:
    """Answer with every domain."""
    campaign = get_campaign(campaign_id)
    header = [_("Domain"), _("Recipients"), _("Sent"), _("Failed"), _("Will retry"), _("Not certain")]
    rows = [
        (row.domain, row.recipients, row.sent, row.failed, row.deferred, row.uncertain)
        for row in report_queries.domains(campaign_id, limit=None)
    ]
    _record_file("report.domains_exported", campaign, rows=len(rows))
    return csv_response(f"campaign-{campaign_id}-domains", header, rows)


@bp.get("/campaigns/<int:campaign_id>/report/links.csv")
@requires(Right.VIEW)
def links_file(campaign_id: int) -> Response:
    """Answer with every tracked link and how many followed it."""
    campaign = get_campaign(campaign_id)
    header = [_("Link"), _("People"), _("Clicks"), _("By machines")]
    rows = [(row.url, row.count.people, row.count.times, row.count.machine_times) for row in link_counts(campaign_id)]
    _record_file("report.links_exported", campaign, rows=len(rows))
    return csv_response(f"campaign-{campaign_id}-links", header, rows)


def _record_file(action: str, campaign: Campaign, *, rows: int, **what: Any) -> None:
    record_export(action, target_of(campaign), rows=rows, reason=request.args.get("why", ""), **what)


def _page(campaign_id: int, tab: str, **context: Any) -> str:
    campaign = get_campaign(campaign_id)
    totals = campaign_totals(campaign_id)
    progress = look(campaign, totals, rate=None, now=utcnow(), undecided=count_undecided(totals))
    return render_template(
        f"reports/report_{tab}.html",
        campaign=campaign,
        progress=progress,
        totals=progress.totals,
        is_final=progress.phase in FINAL_PHASES,
        tab=tab,
        describe_reason=describe_reason,
        code_of=code_of,
        shown_address=shown_address,
        shown_reply=shown_reply,
        **context,
    )


def _possible_actions(campaign_id: int, *rests: Rest) -> dict[str, Any]:
    """Return what the person can do about those who did not get the mail: (action, words of its link)."""
    has_ended = get_campaign(campaign_id).finished_at is not None
    if not has_ended or not can(Right.LAUNCH):
        return {"actions": []}
    return {"actions": describe_counts({rest: count_people(campaign_id, rest) for rest in rests or Rest})}


def _time_labels(times: Sequence[datetime]) -> list[str]:
    """Return the axis' labels: clock times, with the date where the line goes on for more than a day."""
    is_long = times[-1] - times[0] > timedelta(hours=20)
    return [format_time(at, "short") if is_long else format_clock(at, "HH:mm:ss") for at in times]


def _filters() -> Sequence[tuple[str, str]]:
    return (
        ("all", _("All")),
        ("sent", _("Sent")),
        ("failed", _("Failed")),
        ("open", _("Not yet")),
        ("uncertain", _("Not certain")),
        ("not_sent", _("Skipped or cancelled")),
        ("excluded", _("Left out")),
    )


def _absence(campaign: Campaign, address: str) -> str:
    """Say why an address is not in a campaign's ledger at all."""
    if campaign.frozen_at is None:
        return str(_("The recipients have not been counted yet, so nobody is listed."))
    if not can(Right.SEE_USERS):
        return str(_("This address was not among the candidates."))
    user, suppression = report_queries.why_not_there(address)
    if user is None:
        return str(_("No user has this address now, and it was not among the candidates. Look for a typing error."))
    if user.created_at > campaign.frozen_at:
        joined, frozen = format_time(user.created_at), format_time(campaign.frozen_at)
        words = _(
            "This user came after the recipients were counted: joined %(joined)s, counted %(frozen)s.",
            joined=joined,
            frozen=frozen,
        )
        return str(words)
    if suppression is not None:
        return str(_("This address is on the suppression list now, but it was not among the candidates then."))
    return str(_("This user has the address now, but it was not among the candidates then."))


def _person_rows(rows: Iterator[Any]) -> Iterator[Sequence[Any]]:
    for row in rows:
        settled_at, opened_at, clicked_at = (_cell(at) for at in (row.settled_at, row.opened_at, row.clicked_at))
        reason = describe_reason(row.reason, row.state)
        yield row.address, row.state, reason, row.attempts, settled_at, row.reply, opened_at, clicked_at


def _cell(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else ""
