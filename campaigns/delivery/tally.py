"""What one run has seen since it last wrote down, counted for /metrics once for a whole window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from campaigns.delivery.claims import Recipient, Settlement
from campaigns.delivery.models import DeliveryState
from campaigns.mail.domain_groups import OTHER, domain_group
from campaigns.mail.reply_counts import reply_class
from campaigns.mail.smtp import Outcome
from campaigns.metrics import count_mails, count_replies

PUT_OFF = "put_off"  # a limit gave no turn; no server was asked


class Tally:
    """The numbers of one run; used by one thread."""

    def __init__(self) -> None:
        self._groups: dict[int, str] = {}
        self._replies: Counter[tuple[str, str]] = Counter()

    def begin_window(self, recipients: Sequence[Recipient]) -> None:
        """Remember whose outcomes come next; those before have been written down."""
        self._groups = {recipient.position: domain_group(recipient.address) for recipient in recipients}

    def note_answer(self, server: str, outcome: Outcome) -> None:
        """Note what a server answered to one mail."""
        answered = reply_class(outcome)
        if answered is not None:
            self._replies[server, answered] += 1

    def count(self, settlements: Sequence[Settlement]) -> None:
        """Count what the ledger has been told. Who waits again as if untried is no outcome."""
        decided = [each for each in settlements if each.state is not DeliveryState.WAITING]
        count_mails("campaign", Counter((_outcome(each), self._groups.get(each.position, OTHER)) for each in decided))
        count_replies(self._replies)
        self._replies.clear()


def _outcome(settlement: Settlement) -> str:
    is_put_off = settlement.state is DeliveryState.DEFERRED and not settlement.counts_as_attempt
    return PUT_OFF if is_put_off else settlement.state.value
