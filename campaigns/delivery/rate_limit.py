"""The token buckets that all workers share, kept in Redis: for all mail per second and per day, and for single domains.

A window of rows is asked for at once, so the limit costs one call for many mails. Time is the server's, so workers need
not agree on it. When Redis does not answer, each process goes on at a tenth of the limits by itself: slower than
allowed with fewer than ten processes, and never without a limit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import redis
from flask import current_app
from redis.backoff import NoBackoff
from redis.retry import Retry

from campaigns.clock import running_time
from campaigns.config import current_settings
from campaigns.delivery.rates import Rates, mails_by_day_slot
from campaigns.delivery.throttles import Pace, Throttle
from campaigns.delivery.token_buckets import LONGEST_LINE_SECONDS, SCRIPT, LocalBuckets
from campaigns.mail.day_count import DAY_SLOT_SECONDS, DAY_SLOTS, day_key

LOCAL_SHARE = 0.1  # of every limit, for each process, while Redis is away
ANSWER_SECONDS = 0.5
AWAY_SECONDS = 5.0  # how long a Redis that did not answer is not asked again
THROTTLES_SECONDS = 1.0  # how old what we know of slowed domains may be
DAY_LIMIT, RATE_LIMIT = "day_limit", "rate_limit"  # why a campaign waits
SENDING_LIMITS = frozenset({DAY_LIMIT, RATE_LIMIT})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """How many mails may go now; when none, in how many seconds it is worth asking again, and which limit it is.

    One that is not shared was given while Redis was away: it is in nobody's count, and cannot be given back.
    """

    mails: int
    wait_seconds: float = 0.0
    limit: str = ""
    is_shared: bool = True


@dataclass(frozen=True, slots=True)
class DomainTurn:
    """How many mails to one domain may go now; the others each get a time: the first after `wait`, then `apart`."""

    mails: int
    wait_seconds: float = 0.0
    apart_seconds: float = 0.0


_UNSEEDED, _LIMITS = -1, {1: RATE_LIMIT, 2: DAY_LIMIT}


class RateLimiter:
    """The limits of one site as this process sees them. Safe to use from several threads."""

    def __init__(self, client: redis.Redis, prefix: str, mails_by_day_slot: Callable[[], Mapping[int, int]]) -> None:
        """`mails_by_day_slot` tells what went out in the last 24 hours, for a Redis that has lost its count."""
        self._client = client
        self._prefix = f"{prefix}carillon:rate"
        self._day_key = day_key(prefix)
        self._mails_by_day_slot = mails_by_day_slot
        self._script = client.register_script(SCRIPT)
        self._local = LocalBuckets()
        self._pace = Pace(time.monotonic())
        self._throttles: dict[str, Throttle] = {}
        self._throttles_at = 0.0
        self._away_until = 0.0
        self._lock = threading.Lock()

    def take(self, rates: Rates, most: int) -> Turn:
        """Ask for up to `most` mails of what all domains share."""
        rate = rates.per_second
        least = min(50.0, max(1.0, rate / 20))
        answer = self._ask("all", rate, burst=max(1.0, rate / 5), least=least, most=most, per_day=rates.per_day)
        if answer is None:
            return self._take_locally(rates, most)
        granted, wait_ms, limit = answer
        return Turn(granted, wait_ms / 1000, _LIMITS.get(limit, ""))

    def give_back(self, rates: Rates, mails: int) -> None:
        """Return what was asked for under these limits, whatever they are by now, and not used."""
        if mails > 0:
            burst = max(1.0, rates.per_second / 5)
            self._ask("all", rates.per_second, burst=burst, least=1, most=-mails, per_day=rates.per_day)

    def take_for_domains(self, rates: Rates, wanted: Mapping[str, int]) -> dict[str, DomainTurn]:
        """Ask for mails to some domains; a domain without a limit is not in the answer."""
        self._read_throttles()
        now = time.monotonic()
        with self._lock:
            self._pace.note(wanted, now)
        limited = {domain: self.rate_of(rates, domain) for domain in wanted}
        return {domain: self._take_for(domain, rate, wanted[domain]) for domain, rate in limited.items() if rate}

    def rate_of(self, rates: Rates, domain: str) -> float:
        """Return the limit of one domain as it is now, mails per second; 0 when there is none."""
        rate = rates.per_domain.get(domain, 0.0)
        throttle = self._throttles.get(domain)
        if throttle is None or throttle.is_over(_now()):
            return rate
        lowered = throttle.rate_at(_now())
        return min(rate, lowered) if rate else lowered

    def slow_down(self, rates: Rates, domain: str) -> bool:
        """Halve the rate of a domain that asked for it; several at once do so once. Tells whether it was low."""
        now = _now()
        known = self._throttles.get(domain)
        if known is None or known.is_over(now):
            known = None
            rate = rates.per_domain.get(domain) or self._pace.rate_of(domain, time.monotonic())
        throttle = known.halved(now) if known else Throttle.first(rate, now)
        if throttle is known:
            return True
        self._throttles[domain] = throttle
        logger.warning("%s asks for fewer mails: %.2f a second from now, growing", domain, throttle.lowered)
        self._local.empty(domain)
        with suppress(redis.RedisError):
            if time.monotonic() >= self._away_until:
                self._write_throttle(domain, throttle, now)
        return known is not None

    def slowed_domains(self) -> list[str]:
        """Return the domains that have asked to slow down and are not back at their pace. Raises RedisError."""
        found: dict[Any, Any] = self._client.hgetall(f"{self._prefix}:throttles")
        throttles = {domain.decode(): Throttle.from_text(text.decode()) for domain, text in found.items()}
        return [domain for domain, throttle in throttles.items() if not throttle.is_over(_now())]

    def _write_throttle(self, domain: str, throttle: Throttle, now: float) -> None:
        pipeline = self._client.pipeline()
        pipeline.hset(f"{self._prefix}:throttles", domain, throttle.to_text())
        pipeline.expire(f"{self._prefix}:throttles", 86_400)
        # What the domain's bucket had saved up would go out at once otherwise.
        pipeline.hset(self._key(domain), mapping={"tokens": "0", "at": f"{now:.6f}"})
        pipeline.expire(self._key(domain), 3_600)
        pipeline.execute()

    def _take_for(self, domain: str, rate: float, most: int) -> DomainTurn:
        answer = self._ask(domain, rate, burst=max(1.0, rate), least=1, most=most, reserve=True)
        if answer is None:
            granted, wait_seconds = self._local.take(domain, rate * LOCAL_SHARE, 1, most)
            return DomainTurn(granted, wait_seconds, 1 / (rate * LOCAL_SHARE))
        return DomainTurn(answer[0], answer[1] / 1000, 1 / rate)

    def _take_locally(self, rates: Rates, most: int) -> Turn:
        rate = min(filter(None, (rates.per_second, rates.per_day / 86_400))) * LOCAL_SHARE
        granted, wait_seconds = self._local.take("all", rate, min(50.0, max(1.0, rate / 20)), most)
        return Turn(granted, wait_seconds, RATE_LIMIT, is_shared=False)

    def _ask(
        self, name: str, rate: float, *, burst: float, least: float, most: int, per_day: int = 0, reserve: bool = False
    ) -> list[int] | None:
        """Run the script; None when Redis does not answer."""
        if time.monotonic() < self._away_until:
            return None
        keys = [self._key(name), self._day_key]
        arguments = [rate, burst, least, most, per_day, int(reserve), DAY_SLOT_SECONDS, DAY_SLOTS, LONGEST_LINE_SECONDS]
        try:
            answer: list[int] = self._script(keys, arguments)
            if answer[2] == _UNSEEDED:
                self._seed_day()
                answer = self._script(keys, arguments)
        except redis.RedisError as error:
            self._note_away(error)
            return None
        return answer

    def _seed_day(self) -> None:
        """Tell a Redis that knows of no mail today what the database knows; of two at once both say the same."""
        slots = {int(_now()) // DAY_SLOT_SECONDS: 0, **self._mails_by_day_slot()}
        pipeline = self._client.pipeline()
        for slot, mails in slots.items():
            pipeline.hsetnx(self._day_key, str(slot), mails)
        pipeline.execute()

    def _read_throttles(self) -> None:
        now = time.monotonic()
        if now < self._throttles_at + THROTTLES_SECONDS or now < self._away_until:
            return
        self._throttles_at = now
        try:
            found: dict[Any, Any] = self._client.hgetall(f"{self._prefix}:throttles")
            throttles = {domain.decode(): Throttle.from_text(text.decode()) for domain, text in found.items()}
            over = [domain for domain, throttle in throttles.items() if throttle.is_over(_now())]
            if over:
                self._client.hdel(f"{self._prefix}:throttles", *over)
        except redis.RedisError as error:
            self._note_away(error)
            return
        self._throttles = {domain: throttle for domain, throttle in throttles.items() if domain not in over}

    def _note_away(self, error: redis.RedisError) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        logger.warning("the shared rate limits cannot be asked, going on at a tenth of them: %s", error)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:bucket:{name}"


def _now() -> float:
    """Return the seconds since 1970 by the clock of all who share the limits."""
    return running_time().timestamp()


def shared_limiter() -> RateLimiter:
    """Return the running application's view of the limits; two threads that ask first may get one each, once."""
    found = current_app.extensions.get("carillon.rate_limiter")
    if found is None:
        found = current_app.extensions.setdefault("carillon.rate_limiter", _make_limiter())
    return cast("RateLimiter", found)


def _make_limiter() -> RateLimiter:
    settings = current_settings()
    options: dict[str, Any] = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    client = redis.Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 1), **options)
    return RateLimiter(client, settings.queue_prefix, mails_by_day_slot)
