"""From the mail server's answer to what the ledger says."""

from __future__ import annotations

from datetime import datetime, timedelta

from campaigns.clock import utcnow
from campaigns.delivery.claims import Answer, Settlement
from campaigns.delivery.models import DeliveryState as D
from campaigns.delivery.throttles import asks_to_slow_down
from campaigns.mail.smtp import Meaning, Outcome, OutcomeKind

# mail.md's schedule for a relay that does the long retries itself; the last pause repeats.
RETRY_MINUTES = (1, 5, 15, 60, 120, 240)

_ABOUT_THE_SENDER = frozenset({Meaning.SENDER_TEMPORARY, Meaning.SENDER_REFUSED})
_ABOUT_THE_CONNECTION = frozenset({Meaning.CONNECTION_TEMPORARY, Meaning.CONNECTION_REFUSED})


def settlement_of(
    outcome: Outcome,
    *,
    position: int,
    attempts: int,
    give_up_at: datetime,
    server: str = "",
    label: str = "",
) -> Settlement:
    """Return what to write down for one answer of `server`; `label` is added to its words where there are several.

    A refusal for now is tried again with growing pauses until `give_up_at` and has failed then. A refusal that concerns
    the sender or the connection is not the recipient's: the row waits as if it had not been tried.
    """
    reply = f"{reply_text(outcome)} [{label}]" if label else reply_text(outcome)
    if outcome.kind is OutcomeKind.SENT:
        return Settlement(position, D.SENT, None, reply)
    answer = Answer(server, outcome.phase.value, outcome.code, outcome.enhanced)
    refused = Settlement(position, D.FAILED, outcome.reason, reply, answer=answer)
    if concerns_sender(outcome):
        return refused._replace(state=D.WAITING, counts_as_attempt=False)
    # A domain that hangs up with its wish for fewer mails has answered about this recipient, and may do so for ever.
    match OutcomeKind.TEMPORARY if asks_to_slow_down(outcome) else outcome.kind:
        case OutcomeKind.PERMANENT:
            return refused._replace(suppresses=outcome.suppresses)
        case OutcomeKind.UNCERTAIN:
            return refused._replace(state=D.UNCERTAIN)
        case OutcomeKind.TEMPORARY:
            again_at = utcnow() + timedelta(minutes=RETRY_MINUTES[min(attempts, len(RETRY_MINUTES) - 1)])
            return refused if again_at > give_up_at else refused._replace(state=D.DEFERRED, next_attempt_at=again_at)
        case _:
            return refused._replace(state=D.WAITING, counts_as_attempt=False)


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
