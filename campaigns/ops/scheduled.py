"""What the schedule page shows: every periodic job with its rule in words, its last run and its next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.crontab_words import describe_interval, describe_rule
from campaigns.ops.heartbeats import Kind, all_heartbeats, is_fresh
from campaigns.periodic_jobs import Outcome, PeriodicJob, all_jobs
from campaigns.schedule import CLOCK_JOBS, intervals
from campaigns.site import current_site

State = Literal["running", "ok", "failed", "never"]


@dataclass(frozen=True)
class Scheduled:
    """One periodic job; `next_at` is None when beat is away or the job has not run yet, `row` when it never ran."""

    name: str
    rule: str
    state: State
    next_at: datetime | None
    row: PeriodicJob | None


@dataclass(frozen=True)
class Schedule:
    """The page: jobs of the clock first, then what beat starts every few seconds."""

    clock_jobs: Sequence[Scheduled]
    ticks: Sequence[Scheduled]
    beat_is_alive: bool
    beat_seen_at: datetime | None
    zone_name: str


def read_schedule() -> Schedule:
    """Return every periodic job as it stands now."""
    rows, now = all_jobs(), utcnow()
    beats = [each for each in all_heartbeats() if each.kind == Kind.BEAT]
    is_alive = any(is_fresh(each) for each in beats)
    return Schedule(
        clock_jobs=[_clock_job(job.task, job.rule, rows.get(job.task), now) for job in CLOCK_JOBS],
        ticks=[
            _tick(name, seconds, rows.get(name), is_alive=is_alive)
            for name, seconds in intervals(current_settings()).items()
        ],
        beat_is_alive=is_alive,
        beat_seen_at=max((each.seen_at for each in beats), default=None),
        zone_name=current_site().timezone,
    )


def is_clock_job(name: str) -> bool:
    """Whether a row says when this task is due."""
    return any(job.task == name for job in CLOCK_JOBS)


def is_periodic(name: str) -> bool:
    """Whether this task runs by itself again and again."""
    return is_clock_job(name) or name in intervals(current_settings())


def _clock_job(name: str, rule: str, row: PeriodicJob | None, now: datetime) -> Scheduled:
    state: State = "running" if row and row.is_running(now) else _state(row)
    return Scheduled(name, describe_rule(rule), state, row.next_due_at if row else None, row)


def _tick(name: str, seconds: float, row: PeriodicJob | None, *, is_alive: bool) -> Scheduled:
    last = row.last_started_at if row else None
    next_at = last + timedelta(seconds=seconds) if last and is_alive else None
    return Scheduled(name, describe_interval(seconds), _state(row), next_at, row)


def _state(row: PeriodicJob | None) -> State:
    if row is None or row.last_finished_at is None:
        return "never"
    return "failed" if row.last_outcome == Outcome.FAILED else "ok"
