"""The one clock. Everything that asks what time it is asks here, so that a test can stop it.

Clocks of machines differ, so all that share a database server go by its clock (database.py looks at it): a lease that
one of them takes for half a minute lasts as long for everybody. Between two looks time is counted by what nobody sets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

# Goes on while the machine is suspended, as the clocks of all others do.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_STEADY_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_frozen_at: datetime | None = None
_epoch: datetime | None = None  # what the clock we follow showed when our steady seconds were 0


def utcnow() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return _frozen_at or running_time()


def running_time() -> datetime:
    """Return the present moment for what cannot be stopped: processes that talk to others which know of no test."""
    return machine_time() if _epoch is None else _epoch + timedelta(seconds=steady_seconds())


def machine_time() -> datetime:
    """Return what this machine's own clock shows, aware, in UTC; only to be held against others."""
    return datetime.now(UTC)


def steady_seconds() -> float:
    """Return a time that only grows, whatever anybody sets, also while this process or its machine stands still."""
    return time.clock_gettime(_STEADY)


def steady_time() -> datetime:
    """Return the same as a moment: nobody's time of day, to be held against others of its kind."""
    return _STEADY_EPOCH + timedelta(seconds=steady_seconds())


def follow(moment: datetime, *, at_seconds: float) -> None:
    """Go by a clock that showed `moment` (aware) when ours stood at `at_seconds`, of `steady_seconds`."""
    global _epoch
    _epoch = moment.astimezone(UTC) - timedelta(seconds=at_seconds)


@contextmanager
def freeze(at: datetime) -> Iterator[None]:
    """Stop the clock of this process at `at` (aware); for tests only."""
    global _frozen_at
    before, _frozen_at = _frozen_at, at.astimezone(UTC)
    try:
        yield
    finally:
        _frozen_at = before
