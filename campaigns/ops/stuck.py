"""What is stuck or takes too long, by name: the task or thing, what it is about, whose hands it is in, since when.

Believes rows and heartbeats only, and asks the broker once. Each finding says what to do. The jobs page, the dashboard
and `flask stuck` show the same list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from campaigns.clock import utcnow
from campaigns.ops.heartbeats import Kind, RunningTask, all_heartbeats, is_fresh, running_tasks
from campaigns.ops.models import Heartbeat
from campaigns.ops.queues import BrokerAway, QueueState, read_queues
from campaigns.ops.stuck_rows import find_stuck_rows
from campaigns.ops.task_objects import TaskObject, object_of
from campaigns.ops.task_times import expected_seconds

DEFAULT_AFTER = timedelta(seconds=300)
TICK_LATE_AFTER = timedelta(seconds=60)
QUEUE_OLD_SECONDS = 60.0  # from when a message without a worker for its lane is named


class StuckKind(StrEnum):
    """What is wrong; the words stand in stuck_words.py."""

    LONG_TASK = "long_task"
    LOST_TASK = "lost_task"  # its worker has fallen silent
    CAMPAIGN_LATE = "campaign_late"  # launched or due, and nothing begins
    FREEZE = "freeze"
    CAMPAIGN = "campaign"  # sending, and nobody sends
    LEASE = "lease"
    IMPORT = "import"
    MAIL = "mail"
    LANE = "lane"
    TIMER = "timer"
    TICK = "tick"
    BROKER = "broker"


# Not stuck while a worker has a task about the same thing in hand.
GOT_ON_BY_A_TASK = {StuckKind.CAMPAIGN_LATE, StuckKind.FREEZE, StuckKind.CAMPAIGN, StuckKind.IMPORT}


@dataclass(frozen=True)
class Stuck:
    """One thing that is stuck. `task` is a task's name or a lane, where there is one; `count` of how many it speaks."""

    kind: StuckKind
    since: datetime | None
    about: TaskObject = field(default_factory=TaskObject)
    task: str = ""
    worker: str = ""
    count: int = 1


@dataclass(frozen=True)
class Running:
    """One task that runs: what, about what, where, since when, and how long such a task takes at most."""

    task: RunningTask
    about: TaskObject
    worker: str
    is_fresh: bool
    expected_seconds: float

    @property
    def is_late(self) -> bool:
        """Whether it runs longer than such a task should."""
        return (utcnow() - self.task.started_at).total_seconds() > self.expected_seconds


def find_stuck(*, after: timedelta = DEFAULT_AFTER, queues: list[QueueState] | None = None) -> list[Stuck]:
    """Return everything that is stuck; `after` is how long a thing may stand still before it is named.

    Asks the broker unless `queues` are given; one that is away is a finding, answered within about two seconds.
    """
    heartbeats = all_heartbeats()
    found = [*_long_tasks(heartbeats), *_of_rows(after, heartbeats), *_of_timer(heartbeats)]
    try:
        found += _lanes_without_worker(heartbeats, read_queues() if queues is None else queues)
    except BrokerAway:
        found.append(Stuck(StuckKind.BROKER, None))
    return found


def running_now() -> list[Running]:
    """Return the tasks that workers had in hand when they last reported, the one that has run longest first."""
    found = [
        Running(task, object_of(task.name, task.args), _process(each), is_fresh(each), expected_seconds(task.name))
        for each in all_heartbeats()
        if each.kind == Kind.WORKER
        for task in running_tasks(each)
    ]
    return sorted(found, key=lambda running: running.task.since)


def _long_tasks(heartbeats: list[Heartbeat]) -> Iterator[Stuck]:
    for each in heartbeats:
        for task in running_tasks(each) if each.kind == Kind.WORKER else ():
            about = object_of(task.name, task.args)
            if not is_fresh(each):
                # Of a campaign, an import or a mail its rows say whether it goes on: others take up what was left.
                if not about.text:
                    yield Stuck(StuckKind.LOST_TASK, task.started_at, about, task.name, _process(each))
            elif utcnow() - task.started_at > timedelta(seconds=expected_seconds(task.name)):
                yield Stuck(StuckKind.LONG_TASK, task.started_at, about, task.name, _process(each))


def _of_rows(after: timedelta, heartbeats: list[Heartbeat]) -> Iterator[Stuck]:
    """Yield what stands still, unless a worker has just the task in hand that gets it on."""
    living = [each for each in heartbeats if each.kind == Kind.WORKER and is_fresh(each)]
    in_hand = {object_of(task.name, task.args[:1]).values_key for each in living for task in running_tasks(each)}
    for found in find_stuck_rows(after):
        kind = StuckKind(found.kind)
        if kind not in GOT_ON_BY_A_TASK or found.about.values_key not in in_hand:
            yield Stuck(kind, found.since, found.about, worker=found.worker, count=found.count)


def _of_timer(heartbeats: list[Heartbeat]) -> Iterator[Stuck]:
    beats = [each for each in heartbeats if each.kind == Kind.BEAT]
    tick_at = max((each.seen_at for each in heartbeats if each.kind == Kind.TICK), default=None)
    if not any(is_fresh(each) for each in beats):
        yield Stuck(StuckKind.TIMER, max((each.seen_at for each in beats), default=None), task="beat")
    elif tick_at is None or utcnow() - tick_at > TICK_LATE_AFTER:
        yield Stuck(StuckKind.TICK, tick_at, task="ops.beat_tick")


def _lanes_without_worker(heartbeats: list[Heartbeat], queues: list[QueueState]) -> Iterator[Stuck]:
    workers = [each for each in heartbeats if each.kind == Kind.WORKER and is_fresh(each)]
    served = {lane for each in workers for lane in each.lanes.split(",")}
    for queue in queues:
        age = queue.oldest_seconds
        is_old = age is None or age > QUEUE_OLD_SECONDS
        if queue.lane not in served and queue.length and is_old:
            since = utcnow() - timedelta(seconds=age) if age is not None else None
            yield Stuck(StuckKind.LANE, since, task=queue.lane, count=queue.length)


def _process(heartbeat: Heartbeat) -> str:
    return heartbeat.name.rpartition(":")[0]
