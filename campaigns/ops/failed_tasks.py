"""Tasks that failed: recorded with what they were about, grouped by reason, run again or set aside by a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError

from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.masking import mask
from campaigns.ops.failure_kinds import FailureKind, group_key
from campaigns.ops.models import FailedTask

RUN_AGAIN = "run_again"
SET_ASIDE = "set_aside"
NOTICE_MAIL = "failure_notice"  # the kind of mail that tells of failures
MOST_GROUPS = 20
MOST_SHOWN = 50
MOST_TRACEBACK = 20_000  # characters, the last ones: what went wrong stands at the end
OPEN = FailedTask.settled_at.is_(None)


@dataclass(frozen=True)
class Failure:
    """One task that did not end well; the arguments are ids, as they are for all our tasks."""

    task_id: str
    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    traceback: str = ""
    tries: int = 1
    kind: FailureKind = FailureKind.RAISED
    worker: str = ""


@dataclass(frozen=True)
class FailureGroup:
    """Open failures of one task for one reason: how many, and the newest of them."""

    newest: FailedTask
    count: int
    first_at: datetime


def record_failure(failure: Failure) -> None:
    """Keep a failed task, without addresses and tokens; commits. One that fails again is the same row, open again."""
    values = _values(failure)
    known = update(FailedTask).where(FailedTask.task_id == failure.task_id[:64])
    if not db.session.execute(known.values(values)).rowcount:  # type: ignore[attr-defined]
        _add(failure, values)
    try:
        db.session.commit()
    except IntegrityError:  # a second worker has just written the same failure
        db.session.rollback()


def record_once(failure: Failure) -> bool:
    """Keep a failure unless it is known already, open or settled; commits. Tells whether it is new."""
    if db.session.scalar(select(FailedTask.id).where(FailedTask.task_id == failure.task_id[:64])) is not None:
        return False
    _add(failure, _values(failure))
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return False
    return True


def settle_failure(failed_id: int, *, how: str) -> bool:
    """Note that a person ran the task again or set it aside; commits. False when somebody else already did."""
    failed = find_failure(failed_id)
    won = _settle(FailedTask.id == failed_id, how=how) > 0
    if won and failed is not None:
        record_action(f"job.{how}", Target("job", failed_id, failed.name), reason=failed.reason)
    db.session.commit()
    return won


def settle_group(key: str, *, how: str, only: Sequence[int] | None = None) -> int:
    """Settle the open failures of a group, or those of the ids `only`; commits. Returns how many were open still."""
    these = FailedTask.group_key == key if only is None else FailedTask.id.in_(only)
    newest = db.session.scalar(select(FailedTask).where(OPEN, these).order_by(FailedTask.id.desc()).limit(1))
    count = _settle(these, how=how)
    if count and newest is not None:
        target = Target("job", newest.id, newest.name)
        record_action(f"job.{how}", target, after={"failures": count}, reason=newest.reason)
    db.session.commit()
    return count


def reopen_failures(failed_ids: Sequence[int]) -> None:
    """Take back that tasks were run again, when the queue did not take them; commits."""
    mine = FailedTask.id.in_(failed_ids) & (FailedTask.settled_how == RUN_AGAIN)
    failed = find_failure(failed_ids[0])
    db.session.execute(update(FailedTask).where(mine).values(settled_at=None, settled_how=""))
    if failed is not None:
        target = Target("job", failed.id, failed.name)
        record_action("job.not_started", target, after={"failures": len(failed_ids)})
    db.session.commit()


def find_failure(failed_id: int) -> FailedTask | None:
    """Return one failed task."""
    return db.session.get(FailedTask, failed_id)


def open_of_group(key: str, *, limit: int = MOST_SHOWN) -> list[FailedTask]:
    """Return open failures of one group, newest first."""
    query = select(FailedTask).where(OPEN, FailedTask.group_key == key)
    return list(db.session.scalars(query.order_by(FailedTask.failed_at.desc(), FailedTask.id.desc()).limit(limit)))


def open_groups(limit: int = MOST_GROUPS) -> list[FailureGroup]:
    """Return the groups of open failures, the one that failed last first."""
    last = func.max(FailedTask.failed_at)
    counted = (
        select(FailedTask.group_key, func.count(), func.min(FailedTask.failed_at), func.max(FailedTask.id))
        .where(OPEN)
        .group_by(FailedTask.group_key)
        .order_by(last.desc(), func.max(FailedTask.id).desc())
        .limit(limit)
    )
    rows = db.session.execute(counted).all()
    newest = {
        each.id: each for each in db.session.scalars(select(FailedTask).where(FailedTask.id.in_([r[3] for r in rows])))
    }
    return [FailureGroup(newest[newest_id], count, first_at) for _, count, first_at, newest_id in rows]


def count_open_failures() -> int:
    """Return how many failed tasks nobody has settled yet."""
    return _count(OPEN)


def count_failures_since(moment: datetime) -> int:
    """Return how many tasks failed since a moment, settled or not."""
    return _count(FailedTask.failed_at >= moment)


def failures_of_last_day() -> int:
    """Return how many tasks failed in the last 24 hours."""
    return count_failures_since(utcnow() - timedelta(hours=24))


def distinct_arguments(failures: Sequence[FailedTask]) -> list[FailedTask]:
    """Return the failures, each task with the same arguments once: what failed ten times need not run ten times."""
    seen = {(each.name, json.dumps(each.arguments, sort_keys=True)): each for each in reversed(failures)}
    return list(reversed(seen.values()))


def _count(condition: ColumnElement[bool]) -> int:
    return int(db.session.execute(select(func.count()).select_from(FailedTask).where(condition)).scalar_one())


def _settle(condition: ColumnElement[bool], *, how: str) -> int:
    result = db.session.execute(update(FailedTask).where(OPEN, condition).values(settled_at=utcnow(), settled_how=how))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _values(failure: Failure) -> dict[str, Any]:
    reason = " ".join(mask(failure.reason).split())[:300]
    return {
        "kind": failure.kind,
        "reason": reason,
        "traceback": mask(failure.traceback)[-MOST_TRACEBACK:],
        "worker": failure.worker[:120],
        "tries": failure.tries,
        "group_key": group_key(failure.name, failure.kind, reason),
        "is_counted": not _is_about_a_notice(failure),
        "failed_at": utcnow(),
        "settled_at": None,
        "settled_how": "",
    }


def _add(failure: Failure, values: dict[str, Any]) -> None:
    given = {"args": failure.args, "kwargs": failure.kwargs}
    kept = json.loads(mask(json.dumps(given, default=str, ensure_ascii=False)))
    # Our tasks take ids; one that was given more than that cannot be run again from here.
    arguments = kept if kept == given else {**kept, "masked": True}
    db.session.add(FailedTask(task_id=failure.task_id[:64], name=failure.name[:100], arguments=arguments, **values))


def _is_about_a_notice(failure: Failure) -> bool:
    if failure.name != "mail.send_mail" or not failure.args or not isinstance(failure.args[0], int):
        return False
    return db.session.scalar(select(OutboxMail.kind).where(OutboxMail.id == failure.args[0])) == NOTICE_MAIL
