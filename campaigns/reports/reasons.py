"""Why a mail was refused, left out, skipped or stopped, in plain words: the one table for all pages and files."""

from __future__ import annotations

import re
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from campaigns.delivery.attempts import LEFT
from campaigns.delivery.brake import TOO_MANY_FAILURES
from campaigns.delivery.copy_guard import COPIED
from campaigns.delivery.exclusion_words import EXCLUSION_WORDS
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.rate_limit import DAY_LIMIT, RATE_LIMIT
from campaigns.delivery.reopening import Rest
from campaigns.delivery.turns import RATE_LIMITED
from campaigns.mail.replies import Reason
from campaigns.presentation import mask_address

REASON_WORDS: Final[dict[str, Any]] = {
    Reason.ACCEPTED: _l("Accepted by the mail server"),
    Reason.NO_SUCH_ADDRESS: _l("No such address"),
    Reason.NO_SUCH_DOMAIN: _l("No such domain"),
    Reason.BAD_ADDRESS: _l("The address is not well formed"),
    Reason.UNSENDABLE_EAI: _l("The mail server cannot send to addresses in this script"),
    Reason.MAILBOX_DISABLED: _l("The mailbox is closed"),
    Reason.MAILBOX_MOVED: _l("The mailbox has moved"),
    Reason.MAILBOX_FULL: _l("The mailbox is full"),
    Reason.GREYLISTED: _l("Deferred by the receiving server"),
    Reason.THROTTLED: _l("Too many mails in a short time"),
    Reason.BLOCKED: _l("Blocked by the receiving side"),
    Reason.NOT_AUTHENTICATED: _l("The sender's domain is not proved (SPF, DKIM, DMARC)"),
    Reason.CONTENT_REFUSED: _l("The content was refused"),
    Reason.TOO_BIG: _l("The mail is too big"),
    Reason.TOO_MANY_RECIPIENTS: _l("Too many recipients at once"),
    Reason.NOT_DELIVERABLE: _l("Not deliverable at the moment"),
    Reason.SENDER_REFUSED: _l("The mail server refuses the sender address"),
    Reason.RELAY_DENIED: _l("The mail server does not relay our mail"),
    Reason.CLIENT_REFUSED: _l("The mail server refuses this machine"),
    Reason.AUTH_REQUIRED: _l("The mail server asks for a log-in"),
    Reason.AUTH_FAILED: _l("The mail server refused the log-in"),
    Reason.AUTH_UNAVAILABLE: _l("The mail server cannot check the log-in at the moment"),
    Reason.TLS_REQUIRED: _l("The mail server asks for encryption"),
    Reason.TLS_UNAVAILABLE: _l("The mail server offers no encryption"),
    Reason.TLS_FAILED: _l("The encrypted connection failed"),
    Reason.CERTIFICATE_REFUSED: _l("The mail server's certificate is not valid"),
    Reason.SERVER_CLOSING: _l("The mail server is closing down"),
    Reason.SERVER_BUSY: _l("The mail server is busy"),
    Reason.SERVER_FULL: _l("The mail server has no room"),
    Reason.SERVICE_REFUSED: _l("The mail server refuses connections"),
    Reason.RELAY_UNREACHABLE: _l("The mail server cannot be reached"),
    Reason.TIMEOUT: _l("The mail server did not answer in time"),
    Reason.CONNECTION_LOST: _l("The connection to the mail server was lost"),
    Reason.PROTOCOL_ERROR: _l("The mail server's answer made no sense"),
    Reason.TRY_LATER: _l("Temporarily refused"),
    Reason.REFUSED: _l("Refused without a reason"),
    "worker_lost": _l("The sending process ended before the answer came"),
    "not_handed_over": _l("The sending process ended before this mail was handed over, and the campaign has ended"),
    RATE_LIMITED: _l("Waiting its turn, since mails to this domain are sent at a limited rate"),
    RATE_LIMIT: _l("The limit of mails for the moment is reached"),
    DAY_LIMIT: _l("The limit of mails for 24 hours is reached"),
    LEFT: _l("A person has decided to leave it as it is"),
    COPIED: _l("The database was copied or restored while this was being sent. Look how far it came before you go on"),
    Rest.UNCERTAIN.pause_reason: _l(
        "The people whose mail had no answer are being queued again. It continues by itself"
    ),
    Rest.FAILED.pause_reason: _l("The temporary failures are being queued again. It continues by itself"),
    Rest.CANCELLED.pause_reason: _l(
        "The people left out by the cancellation are being queued again. It continues by itself"
    ),
    TOO_MANY_FAILURES: _l("Too many mails were permanently refused"),
    **EXCLUSION_WORDS,
}

_CODE: Final = re.compile(r"([245]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3}))?")
_ADDRESS: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")


def describe_reason(reason: str | None, state: str = "") -> str:
    """Return why in words; a reason that this version does not know is given as it is."""
    if reason:
        return str(REASON_WORDS.get(reason, reason))
    return str(_STATE_WORDS.get(state, ""))


def describe_state(state: str, reply: str | None = "") -> str:
    """Return what a row's state means for the person, in one sentence; the server's reply tells for how long."""
    if state == DeliveryState.FAILED and (reply or "").startswith("4"):
        return str(_("The mail was temporarily refused until the time for trying again was up."))
    return str(_STATE_SENTENCES.get(state, state))


def describe_pause(reason: str) -> str:
    """Return why a campaign is paused; without a reason a person pressed the button."""
    if not reason:
        return str(_("Somebody paused it."))
    code, _colon, rest = reason.partition(":")
    words = REASON_WORDS.get(code.strip())
    if words is None:
        return reason
    return f"{words}: {rest.strip()}." if rest.strip() else f"{words}."


def code_of(reply: str | None) -> str:
    """Return the codes at the start of a server's reply: "550 5.1.1", "421", or nothing."""
    found = _CODE.match(reply or "")
    return " ".join(part for part in found.groups() if part) if found else ""


def without_addresses(reply: str | None) -> str:
    """Return a server's reply with the addresses in it masked; servers like to repeat whom they refused."""
    return _ADDRESS.sub(lambda found: mask_address(found.group()), reply or "")


_STATE_WORDS: Final[dict[str, Any]] = {
    DeliveryState.CANCELLED: _l("The campaign was cancelled first"),
    DeliveryState.UNCERTAIN: _l("Handed over, but the answer is not known"),
}

_STATE_SENTENCES: Final[dict[str, Any]] = {
    DeliveryState.WAITING: _l("Waiting for its turn."),
    DeliveryState.SENDING: _l("On its way right now."),
    DeliveryState.SENT: _l("The mail server has accepted the mail."),
    DeliveryState.FAILED: _l("The mail was permanently refused and will not be tried again."),
    DeliveryState.DEFERRED: _l("The mail could not be sent yet and will be tried again."),
    DeliveryState.UNCERTAIN: _l(
        "The mail was handed over, but the answer is not known. It may have arrived. It is not sent again by itself."
    ),
    DeliveryState.SKIPPED: _l("This person stopped being a recipient after the launch, so nothing was sent."),
    DeliveryState.CANCELLED: _l("The campaign was cancelled before it was this person's turn."),
    DeliveryState.EXCLUDED: _l("This person was left out when the campaign started."),
}
