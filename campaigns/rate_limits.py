"""What Flask-Limiter counts for us: how long a visitor has to wait, and whether something was just done already."""

from __future__ import annotations

import time

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from redis.exceptions import RedisError

from campaigns.web_extensions import limiter


def seconds_to_wait() -> int:
    """Return after how many seconds the request that was just refused would be let in again; at least 1."""
    ends = [limit.reset_at for limit in limiter.current_limits if limit.breached]
    return max(1, int(max(ends, default=0) - time.time()))


def is_first(*what: str, within_seconds: int) -> bool:
    """Tell whether this is asked for the first time within some seconds, by anybody, in any process.

    When that cannot be known because Redis is away, it is: everything that asks is harmless to repeat.
    """
    try:
        return limiter.limiter.hit(RateLimitItemPerSecond(1, within_seconds), "once", *what)
    except (RedisError, StorageError, OSError):
        return True
