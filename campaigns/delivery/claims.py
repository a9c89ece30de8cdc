"""The values that travel between the ledger, the sending loop and its task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from campaigns.delivery.models import DeliveryState


@dataclass(frozen=True)
class Lease:
    """The right to send one batch, until it is given back or runs out. The token fences off earlier holders."""

    campaign_id: int
    number: int
    first_position: int
    last_position: int
    token: str
    worker: str = ""  # host and process of who took it


class Recipient(NamedTuple):
    """One claimed row with what its mail is made from."""

    position: int
    user_id: int
    address: str
    attempts: int
    name: str
    language: str
    attributes: dict[str, str]


class Answer(NamedTuple):
    """Which mail server was asked, and how far the dialogue came; `code` is 0 when it did not answer."""

    server: str
    phase: str
    code: int
    enhanced: str


class Settlement(NamedTuple):
    """What became of one claimed row."""

    position: int
    state: DeliveryState
    reason: str | None = None
    reply: str | None = None
    next_attempt_at: datetime | None = None
    suppresses: bool = False
    counts_as_attempt: bool = True
    answer: Answer | None = None  # of those that were not accepted


@dataclass
class BatchSummary:
    """What one run of a batch did; progress for the chord, never book-keeping."""

    campaign_id: int
    number: int
    settled: int = 0
    ended: str = "nothing_to_do"  # or done, stopped, budget, limit, lease_lost, trouble, halted

    def as_dict(self) -> dict[str, int | str]:
        """Return it as the small JSON value a task may return."""
        return {"campaign": self.campaign_id, "batch": self.number, "settled": self.settled, "ended": self.ended}
