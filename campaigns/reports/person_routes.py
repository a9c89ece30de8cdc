"""One person's page in a campaign's report: why this address did (not) get the mail."""

from __future__ import annotations

from typing import Any, Final

from flask import render_template
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from campaigns.audit.services import Target, mask, record_view
from campaigns.compose.queries import get_campaign
from campaigns.delivery.exclusion_words import describe_exclusion
from campaigns.errors import NotFound
from campaigns.presentation import NOTHING, format_time
from campaigns.reports.blueprint import bp, shown_reply
from campaigns.reports.person import Answer, PersonReport, read_person
from campaigns.reports.reasons import describe_reason, describe_state
from campaigns.reports.timeline import timeline, tries_forgotten
from campaigns.security import Right, requires
from campaigns.tracking.queries import visits_of

ANSWER_WORDS: Final[dict[Answer, Any]] = {
    Answer.NO: _l("No"),
    Answer.YES: _l("Yes, so nothing was sent"),
    Answer.NOT_ASKED: _l("Not checked"),
    Answer.NOT_YET: _l("Not checked yet"),
    Answer.NEVER: NOTHING,
}
SUPPRESSION_WORDS: Final[dict[str, Any]] = {
    "hard_bounce": _l("permanently refused before"),
    "complaint": _l("complained"),
    "by_hand": _l("added by hand"),
    "unsubscribed": _l("unsubscribed and deleted since"),
}


@bp.get("/campaigns/<int:campaign_id>/report/people/<int:position>")
@requires(Right.SEE_USERS)
def report_person(campaign_id: int, position: int) -> str:
    """Show every rule that was asked, the attempts, the server's words, and by what its log can be searched."""
    campaign = get_campaign(campaign_id)
    report = read_person(campaign, position)
    if report is None:
        raise NotFound(_("There is no such person in this campaign."))
    target = Target("delivery", f"{campaign_id}/{position}", mask(report.row.address))
    record_view("report.person_seen", target)
    return render_template(
        "reports/report_person.html",
        campaign=campaign,
        report=report,
        visits=visits_of(campaign_id, position),
        row=report.row,
        rules=[
            (describe_exclusion(each.rule), ANSWER_WORDS[each.at_freeze], ANSWER_WORDS[each.at_turn],
             _now(each.rule, report), Answer.YES in {each.at_freeze, each.at_turn})
            for each in report.rules
        ],
        steps=timeline(campaign, report.row, report.attempts, report.deeds),
        forgotten=tries_forgotten(report.row, report.attempts),
        describe_reason=describe_reason,
        describe_state=describe_state,
        shown_reply=shown_reply,
    )  # fmt: skip


def _now(rule: str, report: PersonReport) -> str:
    """Say whether the rule would hold now, and since when."""
    user, suppression = report.user, report.suppression
    if rule == "suppressed":
        if suppression is None:
            return str(_("No"))
        why = SUPPRESSION_WORDS.get(suppression.reason, suppression.reason)
        return str(_("Yes, since %(time)s (%(why)s)", time=format_time(suppression.created_at, "short"), why=why))
    if user is None:
        return str(_("Yes") if rule == "deleted" else _("Not known: the user was deleted"))
    if rule == "unsubscribed" and user.unsubscribed_at:
        return str(_("Yes, since %(time)s", time=format_time(user.unsubscribed_at, "short")))
    if rule == "unverified":
        return str(_("No") if user.verified_at else _("Yes"))
    return str(_("No"))
