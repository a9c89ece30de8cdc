"""How long a visitor has to wait once a limit is reached, as Flask-Limiter counted it."""

from __future__ import annotations

import time

from campaigns.extensions import limiter


def seconds_to_wait() -> int:
    """Return after how many seconds the request that was just refused would be let in again; at least 1."""
    ends = [limit.reset_at for limit in limiter.current_limits if limit.breached]
    return max(1, int(max(ends, default=0) - time.time()))
