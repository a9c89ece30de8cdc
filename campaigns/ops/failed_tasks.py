"""Tasks that failed: recorded with what they were about, run again or set aside by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.ops.models import FailedTask

RUN_AGAIN = "run_again"
SET_ASIDE = "set_aside"
MOST_SHOWN = 50


@dataclass(frozen=True)
class Failure:
    """One task that raised; the arguments are ids, as they are for all our tasks."""

    task_id: str
    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    traceback: str = ""
    tries: int = 1


def record_failure(failure: Failure) -> None:
    """Keep a failed task; commits. A task that fails again is the same row, open again."""
    values = {
        "reason": failure.reason[:300],
        "traceback": failure.traceback,
        "tries": failure.tries,
        "failed_at": utcnow(),
        "settled_at": None,
        "settled_how": "",
    }
    known = update(FailedTask).where(FailedTask.task_id == failure.task_id).values(values)
    if not db.session.execute(known).rowcount:  # type: ignore[attr-defined]
        arguments = {"args": failure.args, "kwargs": failure.kwargs}
        db.session.add(FailedTask(task_id=failure.task_id[:64], name=failure.name[:100], arguments=arguments, **values))
    try:
        db.session.commit()
    except IntegrityError:  # a second worker has just written the same failure
        db.session.rollback()


def settle_failure(failed_id: int, *, how: str) -> bool:
    """Note that a person ran the task again or set it aside; commits. False when somebody else already did."""
    open_one = (FailedTask.id == failed_id) & FailedTask.settled_at.is_(None)
    result = db.session.execute(update(FailedTask).where(open_one).values(settled_at=utcnow(), settled_how=how))
    db.session.commit()
    return bool(result.rowcount)  # type: ignore[attr-defined]


def reopen_failure(failed_id: int) -> None:
    """Take back that a task was run again, when the queue did not take it; commits."""
    mine = (FailedTask.id == failed_id) & (FailedTask.settled_how == RUN_AGAIN)
    db.session.execute(update(FailedTask).where(mine).values(settled_at=None, settled_how=""))
    db.session.commit()


def find_failure(failed_id: int) -> FailedTask | None:
    """Return one failed task."""
    return db.session.get(FailedTask, failed_id)


def open_failures() -> list[FailedTask]:
    """Return the failed tasks that nobody has settled yet, newest first, at most fifty."""
    query = select(FailedTask).where(FailedTask.settled_at.is_(None)).order_by(FailedTask.failed_at.desc())
    return list(db.session.execute(query.limit(MOST_SHOWN)).scalars())


def count_open_failures() -> int:
    """Return how many failed tasks nobody has settled yet."""
    query = select(func.count()).select_from(FailedTask).where(FailedTask.settled_at.is_(None))
    return int(db.session.execute(query).scalar_one())


def count_failures_since(moment: datetime) -> int:
    """Return how many tasks failed since a moment, settled or not."""
    query = select(func.count()).select_from(FailedTask).where(FailedTask.failed_at >= moment)
    return int(db.session.execute(query).scalar_one())


def failures_of_last_day() -> int:
    """Return how many tasks failed in the last 24 hours."""
    return count_failures_since(utcnow() - timedelta(hours=24))
