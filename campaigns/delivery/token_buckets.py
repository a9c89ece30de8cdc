"""Token buckets: the shared ones as a script that Redis runs at once, and those of one process for when it is away."""

from __future__ import annotations

import threading
import time
from typing import Final

# Who is put off asks again after that long at the latest: by then the limit may have been raised, or a domain that
# asked us to slow down have grown back to its pace.
LONGEST_LINE_SECONDS: Final = 600

# Takes up to `most` tokens of the bucket and, if there is a day limit, of the day; fewer than `least` are none. A
# negative `most` gives tokens back, to the day where it has counted them. With `reserve` those who get none are lined
# up behind each other, and the wait is that of the first of them. Answers {granted, ms to wait, limit that was hit};
# the limit is 1 for the bucket, 2 for the day, and -1 when the day's count is missing and has to be told first.
SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local least, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local per_day, reserve = tonumber(ARGV[5]), ARGV[6] == '1'
local slot_seconds, slots, longest = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local granted, wait, limit, tokens, later = most, 0, 0, 0, now
least = math.min(least, most)
if rate > 0 then
  local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'later')
  local passed = math.max(0, now - tonumber(kept[2] or now))
  tokens = math.min(burst, tonumber(kept[1] or burst) + passed * rate)
  later = math.max(now, tonumber(kept[3] or now))
  granted = math.min(most, math.floor(tokens + 0.000001))
  if granted < least then granted, wait, limit = 0, (least - tokens) / rate, 1 end
end
if per_day > 0 and granted ~= 0 then
  local slot = math.floor(now / slot_seconds)
  local counts = redis.call('HGETALL', KEYS[2])
  if #counts == 0 then return {0, 0, most > 0 and -1 or 0} end
  local used, oldest, last = 0, slot, 0
  for i = 1, #counts, 2 do
    local at, count = tonumber(counts[i]), tonumber(counts[i + 1])
    if at < slot - slots then
      redis.call('HDEL', KEYS[2], counts[i])
    else
      used = used + count
      if count > 0 and at < oldest then oldest = at end
      if count + most >= 0 and at > last then last = at end
    end
  end
  if most < 0 and last > 0 then slot = last end
  if most > 0 and granted > per_day - used then granted = math.max(0, per_day - used) end
  if granted == 0 then
    wait, limit = (oldest + slots + 1) * slot_seconds - now, 2
  else
    redis.call('HINCRBY', KEYS[2], slot, granted)
    redis.call('EXPIRE', KEYS[2], (slots + 2) * slot_seconds)
  end
end
if rate > 0 then
  tokens = tokens - granted
  if reserve and granted < most then
    local first = math.min(math.max(later, now + (1 - tokens) / rate), now + longest)
    wait = first - now
    later = math.min(first + (most - granted) / rate, now + longest)
  end
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now),
    'later', string.format('%.6f', later))
  redis.call('EXPIRE', KEYS[1], math.ceil(later - now + burst / rate) + 60)
end
return {granted, math.ceil(wait * 1000), limit}
"""


class LocalBuckets:
    """Token buckets of this process alone."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, rate: float, least: float, most: int) -> tuple[int, float]:
        """Return how many may go, and when none in how many seconds to ask again. A new bucket holds one."""
        now = time.monotonic()
        with self._lock:
            tokens, at = self._buckets.get(name, (1.0, now))
            tokens = min(max(1.0, rate / 5), tokens + (now - at) * rate)
            granted = min(most, int(tokens)) if tokens >= min(least, most) else 0
            self._buckets[name] = (tokens - granted, now)
        return granted, (min(least, most) - tokens) / rate if not granted else 1 / rate

    def empty(self, name: str) -> None:
        """Take away what a bucket has saved up."""
        with self._lock:
            self._buckets[name] = (0.0, time.monotonic())
