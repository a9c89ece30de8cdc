"""What happened to one person's mail, in order: counted, tried, decided on, and how it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from campaigns.audit.models import COMMAND_LINE, AuditEntry
from campaigns.audit.wording import actor_words
from campaigns.compose.models import Campaign, CampaignState
from campaigns.delivery.models import AttemptOutcome, Delivery, DeliveryAttempt, DeliveryState
from campaigns.mail.replies import Phase
from campaigns.presentation import format_number, format_time
from campaigns.reports.reasons import describe_pause, describe_reason

D, Outcome = DeliveryState, AttemptOutcome
SETTLED: Final = (D.SENT, D.FAILED, D.SKIPPED, D.CANCELLED, D.UNCERTAIN)
TOLD_BY_ATTEMPTS: Final = (D.FAILED, D.DEFERRED, D.UNCERTAIN)
TRIES: Final = (Outcome.DEFERRED, Outcome.FAILED, Outcome.UNCERTAIN)

# What concerns everybody who still waits is in the activity log, once for all of them.
CAMPAIGN_DEEDS: Final[dict[str, tuple[str, Any]]] = {
    "campaign.paused": ("paused", _l("The campaign was paused")),
    "campaign.resumed": ("sending", _l("The campaign went on")),
    "campaign.cancelled": ("cancelled", _l("The campaign was cancelled for those who still waited")),
    "campaign.sent_to_rest": ("sending", _l("The people left out by the cancellation were queued again")),
}
PHASE_WORDS: Final[dict[str, Any]] = {
    Phase.ADDRESS: _l("the address itself"),
    Phase.CONNECT: _l("connecting"),
    Phase.GREETING: _l("the greeting"),
    Phase.EHLO: _l("introducing ourselves (EHLO)"),
    Phase.STARTTLS: _l("encryption (STARTTLS)"),
    Phase.AUTH: _l("the log-in (AUTH)"),
    Phase.MAIL: _l("the sender (MAIL)"),
    Phase.RCPT: _l("the recipient (RCPT)"),
    Phase.DATA: _l("before the content (DATA)"),
    Phase.CONTENT: _l("after the content"),
}


@dataclass(frozen=True)
class Step:
    """One line of the timeline; `at` is None for how it stands now. `said` are the mail server's own words."""

    at: datetime | None
    badge: str
    title: str
    notes: Sequence[str] = ()
    said: str = ""


def timeline(
    campaign: Campaign, row: Delivery, attempts: Sequence[DeliveryAttempt], deeds: Sequence[AuditEntry]
) -> list[Step]:
    """Return every step that is known, the oldest first, and how it stands last."""
    steps = [_counted(campaign, row), *_deeds(row, deeds), *map(_attempt, attempts), *_ledger(row, attempts)]
    known = sorted((step for step in steps if step.at), key=lambda step: step.at.timestamp() if step.at else 0.0)
    return [*known, *_standing(campaign, row, is_told=bool(attempts))]


def tries_forgotten(row: Delivery, attempts: Sequence[DeliveryAttempt]) -> int:
    """Return of how many tries nothing is known any more: they are from before they were kept, or too old."""
    told = {each.try_number for each in attempts if each.outcome in TRIES}
    last = {row.attempts} if row.state != D.WAITING else set()
    return len(set(range(1, row.attempts + 1)) - told - last)


def _counted(campaign: Campaign, row: Delivery) -> Step:
    if row.state == D.EXCLUDED:
        return Step(campaign.frozen_at, "excluded", _("Left out when the recipients were counted"),
                    [describe_reason(row.reason)])  # fmt: skip
    place = _("Recipient %(number)s of this campaign", number=format_number(row.position))
    return Step(campaign.frozen_at, "neutral", _("Counted among the recipients"), [place])


def _deeds(row: Delivery, deeds: Sequence[AuditEntry]) -> Iterator[Step]:
    """Yield what happened to the campaign until this mail was settled."""
    is_over = row.state in SETTLED or row.state == D.EXCLUDED
    for deed in deeds:
        if is_over and (row.settled_at is None or deed.at > row.settled_at):
            return
        badge, title = CAMPAIGN_DEEDS[deed.action]
        why = [describe_pause(deed.after["reason"])] if deed.after.get("reason") else []
        yield Step(deed.at, badge, str(title), [*why, _("By: %(who)s", who=actor_words(deed))])


def _attempt(attempt: DeliveryAttempt) -> Step:
    reason = describe_reason(attempt.reason)
    notes = [note for note in (reason, _where(attempt), _next(attempt.next_attempt_at), _who(attempt)) if note]
    return Step(attempt.at, _BADGES[Outcome(attempt.outcome)], _title(attempt), notes, attempt.reply or "")


_BADGES: Final = {
    Outcome.DEFERRED: "deferred", Outcome.FAILED: "failed", Outcome.UNCERTAIN: "uncertain", Outcome.RETURNED: "waiting",
    Outcome.LEFT: "uncertain", Outcome.SENT_AGAIN: "sending", Outcome.RETRIED: "sending",
}  # fmt: skip


def _title(attempt: DeliveryAttempt) -> str:
    number = format_number(attempt.try_number)
    match attempt.outcome:
        case Outcome.DEFERRED:
            return str(_("Attempt %(number)s: temporarily refused", number=number))
        case Outcome.FAILED if attempt.code == 0:
            return str(_("It cannot be sent to this address, so no server was asked"))
        case Outcome.FAILED if attempt.code < 500:
            return str(
                _("Attempt %(number)s: temporarily refused, and the time for trying again was up", number=number)
            )
        case Outcome.FAILED:
            return str(_("Attempt %(number)s: permanently refused", number=number))
        case Outcome.UNCERTAIN:
            return str(_("Attempt %(number)s: handed over, and the answer is not known", number=number))
        case Outcome.LEFT:
            return str(_("Somebody decided to leave it as it is: not certain"))
        case Outcome.SENT_AGAIN:
            return str(_("Somebody decided to send it once more"))
        case Outcome.RETRIED:
            return str(_("Somebody decided to try it again"))
        case _:
            return str(_("Not handed over, so it waited again; this counts as no try"))


def _where(attempt: DeliveryAttempt) -> str:
    phase = str(PHASE_WORDS.get(attempt.phase, attempt.phase))
    words = ""
    if attempt.server and phase:
        words = _("Mail server %(server)s, at this step: %(phase)s", server=attempt.server, phase=phase)
    elif attempt.server:
        words = _("Mail server %(server)s", server=attempt.server)
    worker = _("Worker %(worker)s", worker=attempt.worker) if attempt.worker else ""
    return " · ".join(str(part) for part in (words, worker) if part)


def _next(at: datetime | None) -> str:
    return str(_("Next try %(time)s", time=format_time(at, "medium"))) if at else ""


def _who(attempt: DeliveryAttempt) -> str:
    if attempt.outcome not in (Outcome.LEFT, Outcome.SENT_AGAIN, Outcome.RETRIED):
        return ""
    who = _("Command line") if attempt.actor == COMMAND_LINE else attempt.actor if "@" in attempt.actor else "—"
    return str(_("By: %(who)s", who=who))


def _ledger(row: Delivery, attempts: Sequence[DeliveryAttempt]) -> Iterator[Step]:
    """Yield what only the ledger's row tells: an acceptance, a skip, a cancel, or an outcome nobody has kept."""
    number = format_number(row.attempts)
    match row.state:
        case D.SENT:
            yield Step(row.settled_at, "sent", _("Attempt %(number)s: accepted by the mail server", number=number),
                       (), row.reply or "")  # fmt: skip
        case D.SKIPPED:
            yield Step(row.settled_at, "skipped", _("Left out when it was this mail's turn"),
                       [describe_reason(row.reason)])  # fmt: skip
        case D.CANCELLED:
            yield Step(row.settled_at, "cancelled", _("Cancelled before it was this mail's turn"))
        case D.FAILED | D.UNCERTAIN if not any(each.outcome == row.state for each in attempts):
            yield Step(row.settled_at, row.state, describe_reason(row.reason, row.state), (), row.reply or "")


def _standing(campaign: Campaign, row: Delivery, *, is_told: bool) -> Iterator[Step]:
    """Yield how it stands, for a mail that is not settled."""
    match row.state:
        case D.WAITING if campaign.state == CampaignState.PAUSED:
            yield Step(None, "paused", _("Waiting until the campaign goes on"), [describe_pause(campaign.pause_reason)])
        case D.WAITING if campaign.trouble:
            yield Step(None, "retrying", _("Waiting, since no mail can be sent at the moment"),
                       [describe_reason(campaign.trouble), _next(campaign.next_round_at)])  # fmt: skip
        case D.WAITING:
            yield Step(None, "waiting", _("Waiting for its turn."))
        case D.SENDING:
            yield Step(None, "sending", _("On its way right now."))
        case D.DEFERRED:
            said = "" if is_told else row.reply or ""
            yield Step(None, "deferred", _next(row.next_attempt_at), [describe_reason(row.reason)], said)
        case D.UNCERTAIN if row.reason != "left":
            yield Step(None, "needs_review", _("A person has to decide: leave it, or send it once more"))
