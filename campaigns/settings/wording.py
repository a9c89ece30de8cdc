"""Settings in words: values for people to read, how long a campaign takes, and the steps of a test mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from campaigns.config import Settings
from campaigns.languages import LANGUAGES
from campaigns.mail.replies import Phase
from campaigns.mail.smtp import OutcomeKind
from campaigns.mail.transcript import QUIT, Transcript
from campaigns.mail_server_urls import MailServerUrl
from campaigns.presentation import format_duration, format_number
from campaigns.reports.reasons import describe_reason

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
            _("Without a limit: as fast as the mail servers take it. A campaign now goes to %(count)s.", count=count)
        )
    return str(
        _(
            "At these limits a campaign to everybody (%(count)s) takes about %(time)s.",
            count=count,
            time=format_duration(seconds),
        )
    )


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


def describe_transcript(transcript: Transcript, address: str) -> Verdict:
    """Return what came of a test mail in words."""
    if transcript.was_taken:
        text = _("It is on its way to %(address)s. If it does not arrive, look in the spam folder.", address=address)
        return Verdict("ok", _("The mail server took the test mail."), text)
    failure = transcript.refusal or transcript.outcome
    if failure is None:
        return Verdict("bad", _("The test mail was not sent."), "")
    step = describe_step(failure.phase.value)
    text = _("%(reason)s. It happened at this step: %(step)s.", reason=describe_reason(failure.reason), step=step)
    if transcript.outcome is not None and transcript.outcome.kind is OutcomeKind.UNCERTAIN:
        return Verdict("warn", _("The mail was handed over, but the answer did not come."), text)
    code = f" ({failure.code})" if failure.code else ""
    return Verdict("bad", _("The mail server did not take the test mail.") + code, text)
