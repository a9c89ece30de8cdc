"""Mail servers' answers by class, as /metrics counts them."""

from __future__ import annotations

from campaigns.mail.replies import Phase, Reason
from campaigns.mail.smtp_envelope import Outcome
from campaigns.mail.smtp_errors import ConnectionNotOpened
from campaigns.metrics import count_replies

CONNECTION, TIMEOUT = "connection", "timeout"
REPLY_CLASSES = ("2xx", "4xx", "5xx", CONNECTION, TIMEOUT)


def reply_class(answer: Outcome | ConnectionNotOpened) -> str | None:
    """Return 2xx, 4xx or 5xx, or connection or timeout where no answer came; None when no server was asked."""
    if answer.phase is Phase.ADDRESS:
        return None
    if answer.code:
        return f"{answer.code // 100}xx"
    return TIMEOUT if answer.reason is Reason.TIMEOUT else CONNECTION


def count_reply(server: str, answer: Outcome | ConnectionNotOpened) -> None:
    """Count one answer of a server."""
    answered = reply_class(answer)
    if answered is not None:
        count_replies({(server, answered): 1})
