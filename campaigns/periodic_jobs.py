"""The rows of periodic jobs: when each is due, who runs it now, when it last ran and what came of it.

A job of the clock is due by its row, and claimed with one conditional UPDATE: of two beats, two messages or two
workers, one runs it. A claim that is never given back lapses, and the job runs again; so each may be ended halfway.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import String, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.crontab import next_moment
from campaigns.extensions import db
from campaigns.languages import zone
from campaigns.schedule import CLOCK_JOBS, ClockJob
from campaigns.sentry_if_set import told_to_sentry
from campaigns.site import current_site

LEASE: Final = timedelta(minutes=40)  # longer than any of these tasks may run
NOTED_EVERY: Final = timedelta(seconds=5)  # a tick's run is not written more often, unless its result changes
SOURCES: Final = {job.task: job for job in CLOCK_JOBS}

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of a run."""

    OK = "ok"
    FAILED = "failed"


class PeriodicJob(db.Model):  # type: ignore[name-defined,misc]
    """One periodic task. Tasks that beat starts by itself have no rule, and are never due."""

    __tablename__ = "periodic_job"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    rule: Mapped[str] = mapped_column(String(60), default="")
    zone: Mapped[str] = mapped_column(String(64), default="")  # the site's when next_due_at was worked out
    next_due_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    last_started_at: Mapped[datetime | None]
    last_finished_at: Mapped[datetime | None]
    last_outcome: Mapped[str] = mapped_column(String(10), default="")
    last_error: Mapped[str] = mapped_column(String(300), default="")
    last_counts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what it did, in numbers

    def is_running(self, now: datetime) -> bool:
        """Whether somebody has claimed it and not given it back in time."""
        return self.claimed_until is not None and self.claimed_until > now


def due_jobs() -> list[str]:
    """Return the tasks that are due now, after giving every job its row and a changed zone its new time. Commits."""
    for job in CLOCK_JOBS:
        _keep_up(job)
    now = utcnow()
    free = or_(PeriodicJob.claimed_until.is_(None), PeriodicJob.claimed_until <= now)
    due = select(PeriodicJob.name).where(PeriodicJob.next_due_at <= now, free, PeriodicJob.name.in_(SOURCES))
    return list(db.session.scalars(due))


def run_if_due(name: str, work: Callable[[], Mapping[str, int]]) -> bool:
    """Run `work` if the job is due and nobody else runs it; tells whether it ran. Commits before and after.

    `work` returns what it did, in numbers. What it raises is noted and raised again; the job is due at its next time.
    """
    started_at = _claim(name)
    if started_at is None:
        return False
    try:
        with told_to_sentry(name, rule=SOURCES[name].rule, zone=current_site().timezone):
            counts = work()
    except Exception as error:
        db.session.rollback()
        _give_back(name, started_at, last_outcome=Outcome.FAILED, last_error=describe_error(error), last_counts={})
        raise
    _give_back(name, started_at, last_outcome=Outcome.OK, last_error="", last_counts=dict(counts))
    return True


def make_due(name: str) -> bool:
    """Make a job due at once; False when it is running already. One step of a transaction; a repeat is harmless."""
    _keep_up(SOURCES[name])
    now = utcnow()
    free = or_(PeriodicJob.claimed_until.is_(None), PeriodicJob.claimed_until <= now)
    return _update(PeriodicJob.name == name, free, next_due_at=now)


def note_run(name: str, *, started_at: datetime, outcome: Outcome, error: str = "") -> None:
    """Note a run of a task that beat starts by itself, every few seconds at most. Commits; never raises for a race."""
    now = utcnow()
    values = {
        "last_started_at": started_at,
        "last_finished_at": now,
        "last_outcome": outcome,
        "last_error": error[:300],
    }
    worth_it = or_(PeriodicJob.last_finished_at <= now - NOTED_EVERY, PeriodicJob.last_outcome != outcome)
    if not _update(PeriodicJob.name == name, worth_it, **values) and db.session.get(PeriodicJob, name) is None:
        db.session.add(PeriodicJob(name=name, **values))
    _commit_unless_somebody_else_has()


def all_jobs() -> dict[str, PeriodicJob]:
    """Return every row by the name of its task; a task that has never run has none."""
    return {job.name: job for job in db.session.scalars(select(PeriodicJob))}


def describe_error(error: BaseException) -> str:
    """Return what was raised in one line."""
    return f"{type(error).__name__}: {error}"[:300]


def _keep_up(job: ClockJob) -> None:
    """Give a job its row, or its next time anew when its rule or the site's zone is another by now."""
    here = current_site().timezone
    row = db.session.execute(
        select(PeriodicJob.rule, PeriodicJob.zone, PeriodicJob.next_due_at).where(PeriodicJob.name == job.task)
    ).one_or_none()
    if row is None:
        due = utcnow() if job.at_once else _next_due(job.rule, here)
        db.session.add(PeriodicJob(name=job.task, rule=job.rule, zone=here, next_due_at=due))
        _commit_unless_somebody_else_has()
    elif (row.rule, row.zone) != (job.rule, here):
        # What is due already stays due: a change of zone must not skip a night.
        is_due = row.next_due_at is not None and row.next_due_at <= utcnow()
        due = row.next_due_at if is_due else _next_due(job.rule, here)
        same = PeriodicJob.rule == row.rule, PeriodicJob.zone == row.zone, PeriodicJob.next_due_at == row.next_due_at
        _update(PeriodicJob.name == job.task, *same, rule=job.rule, zone=here, next_due_at=due)
        db.session.commit()


def _claim(name: str) -> datetime | None:
    now = utcnow()
    free = or_(PeriodicJob.claimed_until.is_(None), PeriodicJob.claimed_until <= now)
    is_due = PeriodicJob.name == name, PeriodicJob.next_due_at <= now, free
    won = _update(*is_due, claimed_until=now + LEASE, last_started_at=now)
    db.session.commit()
    return now if won else None


def _give_back(name: str, started_at: datetime, **values: Any) -> None:
    """Write what came of it, and when it is due next; a run whose claim has lapsed to another changes nothing."""
    here = current_site().timezone
    rule = SOURCES[name].rule
    mine = PeriodicJob.name == name, PeriodicJob.last_started_at == started_at
    _update(
        *mine, claimed_until=None, last_finished_at=utcnow(), rule=rule, zone=here,
        next_due_at=_next_due(rule, here), **values,
    )  # fmt: skip
    db.session.commit()


def _next_due(rule: str, zone_name: str) -> datetime | None:
    return next_moment(rule, zone(zone_name), after=utcnow())


def _update(*conditions: Any, **values: Any) -> bool:
    statement = update(PeriodicJob).where(*conditions).values(**values)
    result = db.session.execute(statement.execution_options(synchronize_session=False))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def _commit_unless_somebody_else_has() -> None:
    try:
        db.session.commit()
    except IntegrityError:  # another process wrote the same row first, which is as good
        db.session.rollback()
