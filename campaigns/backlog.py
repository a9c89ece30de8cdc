"""What waits when the queues are long: new campaigns hold, and work that nobody waits for comes later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from campaigns.celery import BULK, WORK, enqueue, lane_length, lane_lengths
from campaigns.config import current_settings

BUSY_LENGTH = 50  # messages in the lane of work from which whoever can wait does
PAUSE_SECONDS = 60


@dataclass(frozen=True)
class Backlog:
    """A lane in which more waits than its mark."""

    lane: str
    length: int
    mark: int


def find_backlog() -> Backlog | None:
    """Return the lane that has grown past QUEUE_MARK, None while all are short or the broker cannot be asked.

    A broker that is away holds nobody: nothing could be published anyway, and the sweep finds what is left.
    """
    mark = current_settings().queue_mark
    long = [Backlog(lane, length, mark) for lane, length in lane_lengths(BULK, WORK).items() if length > mark]
    return long[0] if long else None


def enqueue_unhurried(task: Any, *arguments: Any, **options: Any) -> bool:
    """Publish a task that nobody waits for; while the lane of work is long it comes a minute later."""
    is_busy = (lane_length(WORK) or 0) > BUSY_LENGTH
    if is_busy and "expires" in options:
        options["expires"] += PAUSE_SECONDS
    return enqueue(task, *arguments, **options, **({"countdown": PAUSE_SECONDS} if is_busy else {}))
