"""How a task can end badly, and what its failures have in common."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum


class FailureKind(StrEnum):
    """What happened to the task."""

    RAISED = "raised"  # an exception of its own
    SOFT_LIMIT = "soft_limit"  # it took too long and was asked to end
    HARD_LIMIT = "hard_limit"  # it took too long and was ended
    WORKER_LOST = "worker_lost"  # the process under it died; its message went back into the queue
    REVOKED = "revoked"  # a person or a command ended it
    UNKNOWN = "unknown"  # this version has no such task
    REJECTED = "rejected"  # its message is no task's
    UNDECODABLE = "undecodable"  # its message cannot be read
    PROCESS_DIED = "process_died"  # a worker or beat ended without signing off
    BEAT_CRASHED = "beat_crashed"


# A stored row of these cannot be run again: there is no task, or nothing that says what it was about.
NOT_REPEATABLE = frozenset(
    {
        FailureKind.UNKNOWN,
        FailureKind.REJECTED,
        FailureKind.UNDECODABLE,
        FailureKind.PROCESS_DIED,
        FailureKind.BEAT_CRASHED,
    }
)
_BY_EXCEPTION = {"SoftTimeLimitExceeded": FailureKind.SOFT_LIMIT, "TimeLimitExceeded": FailureKind.HARD_LIMIT}


def kind_of_exception(exception: BaseException | None) -> FailureKind:
    """Return how a task ended that raised `exception`."""
    return _BY_EXCEPTION.get(type(exception).__name__, FailureKind.RAISED)


def group_key(name: str, kind: str, reason: str) -> str:
    """Return a key that failures of one task for one reason share, whatever numbers the reason holds."""
    same = re.sub(r"(0x)?[0-9][0-9a-f-]*", "#", reason)
    return hashlib.sha256(f"{name}\0{kind}\0{same}".encode()).hexdigest()[:32]
