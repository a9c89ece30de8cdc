"""What one run has seen since it last wrote down, counted for /metrics once for a whole window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from campaigns.delivery.claims import Recipient, Settlement
from campaigns.delivery.models import DeliveryState
from campaigns.mail.domain_groups import OTHER, domain_group
from campaigns.mail.reply_counts import reply_class
from campaigns.mail.smtp import Outcome, OutcomeKind
from campaigns.metrics import count_mails, count_replies

PUT_OFF = "put_off"  # a limit gave no turn; no server was asked


class Tally:
    """The numbers of one run; used by one thread."""

    def __init__(self) -> None:
        self._groups: dict[int, str] = {}
        self._taken: Counter[str] = Counter()
        self._replies: Counter[tuple[str, str]] = Counter()

    def begin_window(self, recipients: Sequence[Recipient]) -> None:
        """Remember whose outcomes come next; those before have been written down."""
        self._groups = {recipient.position: domain_group(recipient.address) for recipient in recipients}

    def note_answer(self, server: str, outcome: Outcome) -> None:
        """Note what a server answered to one mail; called for each, so that taking a mail costs next to nothing."""
        if outcome.kind is OutcomeKind.SENT:
            self._taken[server] += 1
        elif answered := reply_class(outcome):
            self._replies[server, answered] += 1

    def count(self, settlements: Sequence[Settlement]) -> None:
        """Count what the ledger has been told. Who waits again as if untried is no outcome."""
        groups = self._groups
        found = Counter(
            [(each.state, each.counts_as_attempt, groups.get(each.position, OTHER)) for each in settlements]
        )
        mails: Counter[tuple[str, str]] = Counter()
        for (state, is_attempt, group), number in found.items():
            if state is not DeliveryState.WAITING:
                is_put_off = state is DeliveryState.DEFERRED and not is_attempt
                mails[PUT_OFF if is_put_off else state.value, group] += number
        count_mails("campaign", mails)
        self._replies.update({(server, "2xx"): number for server, number in self._taken.items()})
        count_replies(self._replies)
        self._replies.clear()
        self._taken.clear()
