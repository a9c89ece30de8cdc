"""What the jobs page shows: one state with its reason, the workers, the queues, beat, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from campaigns.celery import BULK, LANES, NOW, WORK
from campaigns.clock import utcnow
from campaigns.ops.broker_attention import long_queue, many_public_mails, trouble_with_redis
from campaigns.ops.failed_tasks import FailureGroup, count_open_failures, failures_of_last_day, open_groups
from campaigns.ops.heartbeats import Kind, all_heartbeats, is_fresh
from campaigns.ops.models import Heartbeat
from campaigns.ops.queues import BrokerAway, QueueState, read_queues
from campaigns.ops.stuck import Running, Stuck, StuckKind, find_stuck, running_now
from campaigns.reports.attention import Attention

# From how long a wait on a lane is slow. Someone waits for a single mail; a campaign's batches wait for their turn.
SLOW_AFTER_SECONDS = {NOW: 30.0, WORK: 120.0, BULK: 900.0}
TICK_LATE_AFTER = timedelta(seconds=60)


class Trouble(StrEnum):
    """Why jobs are slow or stopped; the worst comes first."""

    BROKER_AWAY = "broker_away"
    REDIS = "redis"
    NO_WORKER = "no_worker"
    NO_BEAT = "no_beat"
    LONG_QUEUE = "long_queue"
    LONG_WAIT = "long_wait"
    TICK_LATE = "tick_late"


TROUBLE_ALREADY = {StuckKind.TIMER, StuckKind.TICK, StuckKind.LANE}  # said in the page's first sentence
STOPS = {Trouble.BROKER_AWAY, Trouble.REDIS, Trouble.NO_WORKER, Trouble.NO_BEAT}


@dataclass(frozen=True)
class JobsView:
    """Everything on the page. `queues` is None while the broker is away.

    `said` has the dashboard's own words for some troubles, `also` what it says beside them.
    """

    troubles: Sequence[Trouble]
    said: Mapping[Trouble, Attention]
    also: Sequence[Attention]
    workers: Sequence[Heartbeat]
    queues: Sequence[QueueState] | None
    lanes_without_worker: Sequence[str]
    slow_lanes: Sequence[str]
    beat_seen_at: datetime | None
    tick_at: datetime | None
    stuck: Sequence[Stuck]
    running: Sequence[Running]
    failed: Sequence[FailureGroup]
    failed_open: int
    failed_last_day: int

    @property
    def state(self) -> str:
        """Return "ok", "slow", "stuck" or "stopped"."""
        if any(trouble in STOPS for trouble in self.troubles):
            return "stopped"
        if self.stuck:
            return "stuck"
        return "slow" if self.troubles else "ok"

    @property
    def queued(self) -> int | None:
        """Return how many messages wait on all lanes."""
        return None if self.queues is None else sum(queue.length for queue in self.queues)

    @property
    def oldest_seconds(self) -> float | None:
        """Return for how long the oldest message has waited."""
        ages = [queue.oldest_seconds for queue in self.queues or () if queue.oldest_seconds is not None]
        return max(ages, default=None)

    @property
    def fresh_workers(self) -> int:
        """Return how many worker processes reported lately."""
        return sum(is_fresh(worker) for worker in self.workers)

    def workers_of(self, lane: str) -> int:
        """Return how many worker processes of this lane reported lately."""
        return sum(is_fresh(worker) and lane in worker.lanes.split(",") for worker in self.workers)


def read_jobs() -> JobsView:
    """Return the state of everything that runs; answers within about two seconds, also when the broker is away."""
    heartbeats = all_heartbeats()
    queues = _queues_or_none()
    workers = [each for each in heartbeats if each.kind == Kind.WORKER]
    beats = [each for each in heartbeats if each.kind == Kind.BEAT]
    served = {lane for each in workers if is_fresh(each) for lane in each.lanes.split(",")}
    without_worker = [lane for lane in LANES if lane not in served]
    slow = [queue.lane for queue in queues or () if (queue.oldest_seconds or 0) > SLOW_AFTER_SECONDS[queue.lane]]
    tick_at = max((each.seen_at for each in heartbeats if each.kind == Kind.TICK), default=None)
    said = _said_of_the_queues() if queues is not None else {}
    found = {
        Trouble.BROKER_AWAY: queues is None,
        Trouble.REDIS: Trouble.REDIS in said,
        Trouble.NO_WORKER: bool(without_worker),
        Trouble.NO_BEAT: not any(is_fresh(each) for each in beats),
        Trouble.LONG_QUEUE: Trouble.LONG_QUEUE in said,
        Trouble.LONG_WAIT: bool(slow),
        Trouble.TICK_LATE: tick_at is None or utcnow() - tick_at > TICK_LATE_AFTER,
    }
    return JobsView(
        troubles=[trouble for trouble, is_there in found.items() if is_there],
        said=said,
        also=list(many_public_mails()),
        workers=workers,
        queues=queues,
        lanes_without_worker=without_worker,
        slow_lanes=slow,
        beat_seen_at=max((each.seen_at for each in beats), default=None),
        tick_at=tick_at,
        stuck=[each for each in find_stuck(queues=queues or []) if each.kind not in TROUBLE_ALREADY],
        running=running_now(),
        failed=open_groups(),
        failed_open=count_open_failures(),
        failed_last_day=failures_of_last_day(),
    )


def _said_of_the_queues() -> dict[Trouble, Attention]:
    sources = {Trouble.REDIS: trouble_with_redis, Trouble.LONG_QUEUE: long_queue}
    return {trouble: each for trouble, source in sources.items() for each in source()}


def _queues_or_none() -> list[QueueState] | None:
    try:
        return read_queues()
    except BrokerAway:
        return None
