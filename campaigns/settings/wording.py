"""Settings in words: values for people to read, how long a campaign takes, and the steps of a test mail."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from campaigns.accounts.models import User
from campaigns.config import Settings
from campaigns.findings import Level
from campaigns.languages import LANGUAGES
from campaigns.mail.replies import Phase
from campaigns.mail.transcript import QUIT
from campaigns.mail_server_urls import MailServerUrl
from campaigns.presentation import format_duration, format_number
from campaigns.reports.reasons import describe_reason
from campaigns.settings.checks import Standing
from campaigns.settings.tried_mail import TriedMail

DAY_SECONDS: Final = 86_400

STEP_WORDS: Final[dict[str, Any]] = {
    Phase.CONNECT.value: _l("Connecting"),
    Phase.GREETING.value: _l("The server's greeting"),
    Phase.EHLO.value: _l("Introducing ourselves"),
    Phase.STARTTLS.value: _l("Encrypting the connection"),
    Phase.AUTH.value: _l("Logging in"),
    Phase.MAIL.value: _l("Naming the sender"),
    Phase.RCPT.value: _l("Naming the recipient"),
    Phase.DATA.value: _l("Announcing the mail"),
    Phase.CONTENT.value: _l("Handing over the mail"),
    QUIT: _l("Saying goodbye"),
}
NO_WORKER: Final = _l("It waits for the workers, and nothing is lost. The jobs page says what is wrong.")
ERROR_WORDS: Final[dict[str, Any]] = {
    "gone": _l("This mail server is not in use any more."),
    "sender": _l("Mail cannot be sent from the sender address. Fix it first."),
}
LEVEL_WORDS: Final[dict[Level, tuple[str, Any]]] = {
    Level.OK: ("ok", _l("OK")),
    Level.NOTE: ("neutral", _l("Not known")),
    Level.WARN: ("warn", _l("Needs improvement")),
    Level.BAD: ("bad", _l("Wrong")),
}
TWO_STEP_WORDS: Final[dict[str, Any]] = {
    "nobody": _l("Nobody"),
    "viewer": _l("Everybody with a role"),
    "editor": _l("Editors, senders, admins and owners"),
    "sender": _l("Senders, admins and owners"),
    "admin": _l("Admins and owners"),
    "owner": _l("Owners"),
}
ENCRYPTION_WORDS: Final[dict[str, Any]] = {
    "starttls": _l("STARTTLS"),
    "tls": _l("TLS"),
    "none": _l("None"),
}


@dataclass(frozen=True)
class Verdict:
    """What came of a test mail: a notice's kind, its heading, and what it means."""

    kind: str
    title: str
    text: str


def describe_value(field: str, value: Any) -> str:
    """Return a setting's value as people read it; never a password."""
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if field == "language":
        return LANGUAGES.get(str(value), str(value))
    if field == "two_step_required_from":
        return str(TWO_STEP_WORDS[value])
    if field == "rate_per_domain":
        return ", ".join(f"{domain} {number:g}" for domain, number in value) or "—"
    if field == "mail_servers":
        return ", ".join(each.name for each in value if isinstance(each, MailServerUrl)) or "—"
    if isinstance(value, int | float):
        return format_number(value)
    return str(value) or "—"


def describe_pace(people: int, settings: Settings) -> str:
    """Say how long a campaign to so many people takes at the limits."""
    count = ngettext("%(people)s person", "%(people)s people", people, people=format_number(people))
    seconds = seconds_for(people, settings)
    if not seconds:
        return str(
            _("Without a limit: as fast as the mail servers accept it. A campaign now goes to %(count)s.", count=count)
        )
    return str(
        _(
            "At these limits a campaign to everybody (%(count)s) takes about %(time)s.",
            count=count,
            time=format_duration(seconds),
        )
    )


def describe_two_step(team: Collection[User]) -> str:
    """Say how many of a team still log in with a password alone, and what becomes of them."""
    without = sum(member.two_step_at is None for member in team)
    if not without:
        return str(_("Everybody in the team logs in with two steps."))
    count = ngettext(
        "%(people)s person in the team has no second step.",
        "%(people)s people in the team have no second step.",
        without,
        people=format_number(without),
    )
    then = _("Those who need it set it up on the next page they open. Nobody is locked out.")
    return f"{count} {then}"


def seconds_for(people: int, settings: Settings) -> float:
    """Return how long so many mails take at the limits, 0 without limits.

    The day's limit lets its whole share go at once, and the next as the first day's mails grow older than that.
    """
    by_second = people / settings.rate_per_second if settings.rate_per_second else 0.0
    whole_days = (max(people, 1) - 1) // settings.rate_per_day if settings.rate_per_day else 0
    left = people - whole_days * settings.rate_per_day
    by_day = whole_days * DAY_SECONDS + (left / settings.rate_per_second if settings.rate_per_second else 0.0)
    return max(by_second, by_day if whole_days else 0.0)


def describe_step(name: str) -> str:
    """Return a step of the session in words."""
    return str(STEP_WORDS.get(name, name))


def describe_test(result: TriedMail, address: str) -> Verdict:
    """Return what came of a test mail in words."""
    if result.was_taken:
        text = _("It is on its way to %(address)s. If it does not arrive, look in the spam folder.", address=address)
        return Verdict("ok", _("The mail server accepted the test mail."), text)
    if (failure := result.failure) is None:
        return Verdict("bad", _("The test mail was not sent."), "")
    step = describe_step(failure.phase)
    text = _("%(reason)s. It happened at this step: %(step)s.", reason=describe_reason(failure.reason), step=step)
    if failure.is_uncertain:
        return Verdict("warn", _("The mail was handed over, but the answer did not come."), text)
    code = f" ({failure.code})" if failure.code else ""
    return Verdict("bad", _("The mail server did not accept the test mail.") + code, text)


def describe_unsent(standing: Standing, error: str | None) -> Verdict:
    """Return in words why there is nothing to show of a test mail, or not yet."""
    if standing is Standing.LATE:
        return Verdict("warn", _("No worker has picked it up yet."), str(NO_WORKER))
    if standing.is_open:
        text = _("This takes up to a minute. The result appears here by itself.")
        return Verdict("info", _("The test mail is being sent."), text)
    if standing is Standing.BROKEN_OFF:
        text = _("The worker ended while it was sent. Whether the mail went out is not known.")
        return Verdict("bad", _("It was interrupted."), text)
    if standing is Standing.DROPPED:
        text = _("The test mail was not sent, and is not sent later.")
        return Verdict("bad", _("No worker picked it up in time."), text)
    return Verdict("bad", _("The test mail was not sent."), str(ERROR_WORDS.get(error or "", "")))
