"""Domains that asked us to slow down: their rate is halved at once and grows back steadily (AIMD, as TCP does)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from campaigns.mail.smtp import Outcome, OutcomeKind, Phase, Reason

RECOVERY_SECONDS = 600  # from nothing to the full rate; from one halving half as long
COOL_DOWN_SECONDS = 5  # mails that were on their way when the first was refused say nothing new
LEAST_RATE = 0.2  # a mail every five seconds, so that a domain is always asked again
PACE_SECONDS = 10

_ABOUT_ONE_RECIPIENT = frozenset({Phase.RCPT, Phase.DATA, Phase.CONTENT})
_NOT_TAKEN = frozenset({OutcomeKind.TEMPORARY, OutcomeKind.NOT_HANDED_OVER})


@dataclass(frozen=True, slots=True)
class Throttle:
    """The lowered rate of one domain. `ceiling` is what it grows back to; `at` is in seconds since the epoch."""

    ceiling: float
    lowered: float
    at: float

    def rate_at(self, now: float) -> float:
        """Return the rate that the domain has grown back to, mails per second."""
        return min(self.ceiling, self.lowered + self.ceiling * max(0.0, now - self.at) / RECOVERY_SECONDS)

    def is_over(self, now: float) -> bool:
        """Tell whether the domain is back at its full rate."""
        return self.rate_at(now) >= self.ceiling

    def halved(self, now: float) -> Throttle:
        """Return what follows from one more wish to slow down."""
        if now - self.at < COOL_DOWN_SECONDS:
            return self
        return replace(self, lowered=max(LEAST_RATE, self.rate_at(now) / 2), at=now)

    def to_text(self) -> str:
        """Return it as `from_text` reads it."""
        return f"{self.ceiling:.6f} {self.lowered:.6f} {self.at:.3f}"

    @classmethod
    def from_text(cls, text: str) -> Throttle:
        """Return what `to_text` wrote."""
        ceiling, lowered, at = map(float, text.split())
        return cls(ceiling, lowered, at)

    @classmethod
    def first(cls, rate: float, now: float) -> Throttle:
        """Return what follows from the first wish of a domain that was sent to at this rate."""
        ceiling = max(rate, 2 * LEAST_RATE)
        return cls(ceiling, ceiling / 2, now)


def asks_to_slow_down(outcome: Outcome) -> bool:
    """Tell whether an answer is a domain's wish for fewer mails: 4.7.x or words like it, with 421 too.

    A 421 that says nothing of the kind is about the connection, whoever happened to be next on it.
    """
    about_one = outcome.kind in _NOT_TAKEN and outcome.phase in _ABOUT_ONE_RECIPIENT
    return about_one and 400 <= outcome.code < 500 and outcome.reason is Reason.THROTTLED


class Pace:
    """How fast this process sends to each domain, over the last ten to twenty seconds; for one thread at a time."""

    def __init__(self, now: float) -> None:
        self._counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._since = now
        self._before_seconds = 0.0

    def note(self, domains: Mapping[str, int], now: float) -> None:
        """Remember how many mails are about to go to each domain."""
        if now - self._since > PACE_SECONDS:
            is_recent = now - self._since < 2 * PACE_SECONDS
            self._before_seconds = now - self._since if is_recent else 0.0
            self._counts = (Counter(), self._counts[0] if is_recent else Counter())
            self._since = now
        self._counts[0].update(domains)

    def rate_of(self, domain: str, now: float) -> float:
        """Return mails per second to one domain."""
        count = self._counts[0][domain] + self._counts[1][domain]
        return count / max(1.0, now - self._since + self._before_seconds)
