"""When a run may send its next window, and to whom in it: what the limits allow, without ever holding up others."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from campaigns.clock import utcnow
from campaigns.delivery.claims import Recipient, Settlement
from campaigns.delivery.models import DeliveryState
from campaigns.delivery.rate_limit import Turn, shared_limiter
from campaigns.delivery.rates import Rates, current_rates, domain_of
from campaigns.delivery.throttles import COOL_DOWN_SECONDS
from campaigns.delivery.token_buckets import LONGEST_LINE_SECONDS

RATE_LIMITED = "rate_limited"  # why a row is put off whose domain has no turn at the moment
STEP_SECONDS = 0.1  # how often a waiting run looks whether it has to stop
LONGEST_STRETCH_SECONDS = 1.0  # how long it waits at most before it asks again
LONGEST_WAIT_SECONDS = 10.0  # a longer wait is not spent holding a worker: the campaign's next round is put off


class Turns:
    """The limits as one run meets them; used by one thread.

    `hold` is set when a limit lets nothing go for so long that the run should end and the campaign go on later.
    """

    def __init__(self) -> None:
        self.hold: Turn | None = None
        self._limiter = shared_limiter()
        self._rates = Rates()
        # Which limits have counted the window in hand, and the next: its turns go back where they came from.
        self._counted_by: Rates | None = None
        self._next_counted_by: Rates | None = None
        self._slowed: set[str] = set()  # domains that asked for it in this window

    def wait(self, most: int, *, must_stop: Callable[[], bool], before_waiting: Callable[[], None]) -> int:
        """Wait until a window may go and return for how many mails, up to `most`; 0 when the run should end.

        Settings that have changed apply from here on. What it is given it does not keep: the run and all it has in
        memory would then live on, until somebody searches for what only refers to each other.
        """
        self._rates, self._next_counted_by = current_rates(), None
        if not self._rates.is_limited:
            return most
        while not must_stop():
            turn = self._limiter.take(self._rates, most)
            if turn.mails:
                self._next_counted_by = self._rates if turn.is_shared else None
                return turn.mails
            if turn.wait_seconds > LONGEST_WAIT_SECONDS:
                self.hold = turn
                return 0
            before_waiting()
            _sleep(turn.wait_seconds, must_stop)
        return 0

    def part(self, window: Sequence[Recipient]) -> tuple[list[Recipient], list[Settlement]]:
        """Begin a claimed window: part it into those who get their mail now and those whose domain has no turn."""
        self._counted_by = self._next_counted_by
        self._slowed.clear()
        domains = {recipient.position: domain_of(recipient.address) for recipient in window}
        turns = self._limiter.take_for_domains(self._rates, Counter(domains.values()))
        if not turns:
            return list(window), []
        go: list[Recipient] = []
        put_off: list[Settlement] = []
        seen: Counter[str] = Counter()
        for recipient in window:
            turn = turns.get(domains[recipient.position])
            if turn is None:
                go.append(recipient)
                continue
            place = seen[domains[recipient.position]] - turn.mails
            seen[domains[recipient.position]] += 1
            if place < 0:
                go.append(recipient)
            else:
                seconds = turn.wait_seconds + place * turn.apart_seconds
                put_off.append(_put_off(recipient, min(seconds, LONGEST_LINE_SECONDS)))
        return go, put_off

    def put_off_if_slowed(self, recipient: Recipient) -> Settlement | None:
        """Return what to write down for somebody whose domain has asked to slow down within this window."""
        if not self._slowed or domain_of(recipient.address) not in self._slowed:
            return None
        return _put_off(recipient, COOL_DOWN_SECONDS)

    def slow_down(self, recipient: Recipient) -> bool:
        """Slow down the domain of somebody whose mail was refused for coming too soon; tells whether it was already."""
        domain = domain_of(recipient.address)
        self._slowed.add(domain)
        return self._limiter.slow_down(self._rates, domain)

    def counted_for_day(self, mails: int) -> int:
        """Return how many of these turns of the window in hand are in the day's count."""
        return mails if self._counted_by is not None and self._counted_by.per_day else 0

    def give_back_unused(self, settlements: Sequence[Settlement]) -> None:
        """Return the turns of those of the window in hand to whom nothing went."""
        self._give_back(self._counted_by, sum(not settlement.counts_as_attempt for settlement in settlements))

    def give_back_unclaimed(self, mails: int) -> None:
        """Return turns of the next window for which nobody was found."""
        self._give_back(self._next_counted_by, mails)

    def _give_back(self, counted_by: Rates | None, mails: int) -> None:
        if counted_by is not None:
            self._limiter.give_back(counted_by, mails)


def _sleep(seconds: float, must_stop: Callable[[], bool]) -> None:
    # Runs that wait for the same limit should not all come back in the same moment.
    until = time.monotonic() + min(LONGEST_STRETCH_SECONDS, seconds * random.uniform(1, 1.5))
    while (left := until - time.monotonic()) > 0 and not must_stop():
        time.sleep(min(left, STEP_SECONDS))


def _put_off(recipient: Recipient, seconds: float) -> Settlement:
    again_at = utcnow() + timedelta(seconds=seconds)
    return Settlement(
        recipient.position, DeliveryState.DEFERRED, RATE_LIMITED, next_attempt_at=again_at, counts_as_attempt=False
    )
