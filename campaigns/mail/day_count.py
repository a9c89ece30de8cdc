"""The mails of the last 24 hours as RATE_PER_DAY counts them, in Redis: campaigns ask, single mails only add."""

from __future__ import annotations

from typing import Any, Final, cast

import redis
from flask import current_app
from redis.backoff import NoBackoff
from redis.retry import Retry

from campaigns.config import Settings, current_settings

DAY_SLOT_SECONDS: Final = 600  # in how fine steps the last 24 hours are counted
DAY_SLOTS: Final = 144
ANSWER_SECONDS = 0.5

# A count that Redis has lost is told anew by the next campaign, from the database: one mail here would pass for all.
_ADD: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  local slot = math.floor(tonumber(redis.call('TIME')[1]) / tonumber(ARGV[1]))
  redis.call('HINCRBY', KEYS[1], slot, 1)
  redis.call('EXPIRE', KEYS[1], (tonumber(ARGV[2]) + 2) * tonumber(ARGV[1]))
end
"""


def day_key(queue_prefix: str) -> str:
    """Return the name of the count in Redis; several sites may share one."""
    return f"{queue_prefix}carillon:rate:day"


def count_single_mail() -> None:
    """Add a single mail that has gone out to the day's count, when there is a limit. Never raises, waits or refuses."""
    settings = current_settings()
    if not settings.rate_per_day:
        return
    try:
        _client(settings).eval(_ADD, 1, day_key(settings.queue_prefix), DAY_SLOT_SECONDS, DAY_SLOTS)
    except redis.RedisError:
        return


def _client(settings: Settings) -> redis.Redis:
    found = current_app.extensions.get("carillon.day_count")
    if found is None:
        options: dict[str, Any] = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
        client = redis.Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0), **options)
        found = current_app.extensions.setdefault("carillon.day_count", client)
    return cast("redis.Redis", found)
