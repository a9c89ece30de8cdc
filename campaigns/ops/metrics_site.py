"""The parts of /metrics that are read when asked for: limits, single mails, queues, workers, what has failed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import and_, case, func, select

from campaigns.celery import LANES
from campaigns.clock import utcnow
from campaigns.delivery.ledger_rows import RATE_WINDOW_SECONDS
from campaigns.delivery.models import RateSample
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.rates import current_rates
from campaigns.extensions import db
from campaigns.mail.domain_groups import GROUPS, domain_group
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.ops.heartbeats import Kind, all_heartbeats, is_fresh
from campaigns.ops.models import FailedTask
from campaigns.ops.queues import read_queues
from campaigns.stored_settings import refresh_settings

RATE_WINDOWS = 6  # the last minute, without the window that is still filling
MOST_DOMAINS = 50


def read_rates() -> list[Metric]:
    """Return how fast campaigns are sent, beside the limits as they are now."""
    refresh_settings()
    rates = current_rates()
    domains = GaugeMetricFamily(
        "carillon_domain_limit_mails_per_second", "Most mails in a second to a domain that has a limit.",
        labels=["domain"],
    )  # fmt: skip
    for domain, limit in sorted(rates.per_domain.items())[:MOST_DOMAINS]:
        domains.add_metric([domain], limit)
    return [
        _gauge("carillon_send_mails_per_second", "Mails of campaigns in a second, over the last minute.", _rate()),
        _gauge(
            "carillon_send_limit_mails_per_second", "Most mails of campaigns in a second; 0 = any.", rates.per_second
        ),
        _gauge("carillon_sent_last_24h_mails", "Mails of campaigns in the last 24 hours.", _sent_since(hours=24)),
        _gauge(
            "carillon_send_limit_24h_mails", "Most mails in any 24 hours, single mails counted; 0 = any.", rates.per_day
        ),
        domains,
    ]


def read_throttles() -> list[Metric]:
    """Return how many domains have asked to slow down and are not back at their pace. Raises RedisError."""
    counts = Counter(domain_group(domain) for domain in shared_limiter().slowed_domains())
    throttled = GaugeMetricFamily(
        "carillon_throttled_domains", "Recipient domains that asked for fewer mails, by group.", labels=["domain_group"]
    )
    for group in GROUPS:
        throttled.add_metric([group], counts[group])
    return [throttled]


def read_outbox() -> list[Metric]:
    """Return the single mails that have not left, and for how long the first of them should have."""
    now = utcnow()
    waiting = OutboxMail.state == OutboxState.WAITING
    untried = and_(waiting, OutboxMail.attempts == 0)
    state = case(
        (and_(untried, OutboxMail.next_attempt_at > now), "later"),
        (untried, "due"),
        (waiting, "retrying"),
        else_="sending",
    )
    since = case((OutboxMail.attempts == 0, OutboxMail.next_attempt_at), else_=OutboxMail.created_at)
    query = select(state, func.count(), func.min(since)).where(
        OutboxMail.state.in_([OutboxState.WAITING, OutboxState.SENDING])
    )
    found = {word: (number, oldest) for word, number, oldest in db.session.execute(query.group_by(state))}
    mails = GaugeMetricFamily("carillon_outbox_mails", "Single mails that have not left, by state.", labels=["state"])
    for word in ("due", "retrying", "sending", "later"):
        mails.add_metric([word], found.get(word, (0, None))[0])
    oldest = [since for word, (_number, since) in found.items() if word != "later"]
    age = (now - min(oldest)).total_seconds() if oldest else 0.0
    return [mails, _gauge("carillon_outbox_oldest_seconds", "Age of the oldest single mail that should be gone.", age)]


def read_queue_states() -> list[Metric]:
    """Return what waits at the broker in each lane. Raises BrokerAway."""
    messages = GaugeMetricFamily("carillon_queue_messages", "Messages that wait in a lane's queue.", labels=["lane"])
    oldest = GaugeMetricFamily(
        "carillon_queue_oldest_seconds", "Age of the oldest message of a lane's queue; 0 when none waits.",
        labels=["lane"],
    )  # fmt: skip
    for queue in read_queues():
        messages.add_metric([queue.lane], queue.length)
        if queue.oldest_seconds is not None or not queue.length:
            oldest.add_metric([queue.lane], queue.oldest_seconds or 0.0)
    return [messages, oldest]


def read_workers() -> list[Metric]:
    """Return the processes that report, by their rows in the database, and the tasks that failed."""
    beats = all_heartbeats()
    fresh = [beat for beat in beats if is_fresh(beat)]
    lanes = Counter(lane for beat in fresh if beat.kind == Kind.WORKER for lane in beat.lanes.split(","))
    workers = GaugeMetricFamily("carillon_workers", "Workers that report and take from a lane.", labels=["lane"])
    for lane in LANES:
        workers.add_metric([lane], lanes[lane])
    timers = sum(beat.kind == Kind.BEAT for beat in fresh)
    failed = db.session.scalar(select(func.count()).where(FailedTask.settled_at.is_(None)))
    tick_age = GaugeMetricFamily(
        "carillon_beat_tick_age_seconds", "Since when no message of the timer reached a worker."
    )
    for beat in beats:
        if beat.kind == Kind.TICK:
            tick_age.add_metric([], (utcnow() - beat.seen_at).total_seconds())
    return [
        workers,
        _gauge("carillon_beats", "Timers that report; more than one does everything twice.", timers),
        tick_age,
        _gauge("carillon_failed_tasks", "Failed tasks that nobody has dealt with.", failed or 0),
    ]


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _rate() -> float:
    now = utcnow().replace(microsecond=0)
    end = now - timedelta(seconds=now.second % RATE_WINDOW_SECONDS)
    start = end - timedelta(seconds=RATE_WINDOWS * RATE_WINDOW_SECONDS)
    within = and_(RateSample.window_start >= start, RateSample.window_start < end)
    sent = db.session.scalar(select(func.sum(RateSample.sent)).where(within))
    return float(sent or 0) / (RATE_WINDOWS * RATE_WINDOW_SECONDS)


def _sent_since(*, hours: int) -> int:
    answered = func.sum(RateSample.sent + RateSample.failed)
    query = select(answered).where(RateSample.window_start >= utcnow() - timedelta(hours=hours))
    return int(db.session.scalar(query) or 0)
