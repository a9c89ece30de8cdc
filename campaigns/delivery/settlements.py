"""From the mail server's answer to what the ledger says; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import DeliveryState as D
from campaigns.mail.smtp import Meaning, Outcome, OutcomeKind

# mail.md's schedule for a relay that does the long retries itself; the last pause repeats.
RETRY_MINUTES = (1, 5, 15, 60, 120, 240)

_ABOUT_THE_SENDER = frozenset({Meaning.SENDER_TEMPORARY, Meaning.SENDER_REFUSED})
_ABOUT_THE_CONNECTION = frozenset({Meaning.CONNECTION_TEMPORARY, Meaning.CONNECTION_REFUSED})


def settlement_of(
    outcome: Outcome, *, position: int, attempts: int, now: datetime, give_up_at: datetime, server: str = ""
) -> Settlement:
    """Return what to write down for one answer; `server` names whose words these are, where there are several.

    A refusal for now is tried again with growing pauses until `give_up_at` and has failed then. A refusal that concerns
    the sender or the connection is not the recipient's: the row waits as if it had not been tried.
    """
    reply = f"{reply_text(outcome)} [{server}]" if server else reply_text(outcome)
    if outcome.kind is OutcomeKind.SENT:
        return Settlement(position, D.SENT, None, reply)
    if concerns_sender(outcome):
        return Settlement(position, D.WAITING, outcome.reason, reply, counts_as_attempt=False)
    match outcome.kind:
        case OutcomeKind.PERMANENT:
            return Settlement(position, D.FAILED, outcome.reason, reply, suppresses=outcome.suppresses)
        case OutcomeKind.UNCERTAIN:
            return Settlement(position, D.UNCERTAIN, outcome.reason, reply)
        case OutcomeKind.TEMPORARY:
            again_at = now + timedelta(minutes=RETRY_MINUTES[min(attempts, len(RETRY_MINUTES) - 1)])
            if again_at > give_up_at:
                return Settlement(position, D.FAILED, outcome.reason, reply)
            return Settlement(position, D.DEFERRED, outcome.reason, reply, next_attempt_at=again_at)
        case _:
            return Settlement(position, D.WAITING, outcome.reason, reply, counts_as_attempt=False)


def concerns_sender(outcome: Outcome) -> bool:
    """Tell whether a refusal is about us, so that the same awaits every other recipient (RFC 5321: replies to MAIL)."""
    return outcome.meaning in _ABOUT_THE_SENDER


def concerns_connection(outcome: Outcome) -> bool:
    """Tell whether nothing was said about the mail itself: the server closed (421) or the connection was lost."""
    return outcome.meaning in _ABOUT_THE_CONNECTION


def reply_text(outcome: Outcome) -> str:
    """Return the server's own words in one line, with its code when there was one."""
    words = " ".join(outcome.text.split())
    return f"{outcome.code} {words}" if outcome.code else words
