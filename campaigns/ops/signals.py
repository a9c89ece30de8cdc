"""What Celery tells us: processes that start and end, messages on their way, tasks that run.

The receivers belong to the module, not to an application: a signal carries the Celery application, which knows its
Flask application.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import signal
import sys
import time
from datetime import datetime
from typing import Any

from celery import Celery, current_app
from celery.signals import (
    beat_init,
    before_task_publish,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_ready,
    worker_shutdown,
)
from celery.worker import state as worker_state
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

import campaigns.ops.failure_signals
import campaigns.ops.held_start  # noqa: F401 - both connect receivers; this one holds a start before anything here begins
from campaigns.clock import running_time, utcnow
from campaigns.config import current_settings
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.extensions import db
from campaigns.masking import mask
from campaigns.ops.heartbeats import Activity, Kind, Pulse, RunningTask
from campaigns.ops.lost_processes import note_lost_processes, note_predecessor
from campaigns.periodic_jobs import Outcome, describe_error, note_run

PUBLISHED_AT = "published_at"
PR_SET_PDEATHSIG = 1

logger = logging.getLogger(__name__)
_pulses: list[Pulse] = []
_started: dict[str, datetime] = {}  # when the ticks that run in this process began, by the id of the task


@before_task_publish.connect
def _stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Write the time on every message, so that the jobs page can tell the age of the oldest."""
    if headers is not None:
        headers.setdefault(PUBLISHED_AT, running_time().timestamp())


@worker_ready.connect
def _worker_begins(sender: Any, **_: Any) -> None:
    lanes = ",".join(sorted(queue.alias or name for name, queue in sender.app.amqp.queues.consume_from.items()))
    _begin_pulse(sender.app, Kind.WORKER, lanes)


@worker_shutdown.connect
def _worker_ends(**_: Any) -> None:
    while _pulses:
        _pulses.pop().stop()


@beat_init.connect
def _beat_begins(sender: Any, **_: Any) -> None:
    _begin_pulse(sender.app, Kind.BEAT, "")
    # Beat has no signal for its end; it leaves by an exception, which lets the process tidy up.
    atexit.register(_worker_ends)


@worker_process_init.connect
def _pool_process_begins(**_: Any) -> None:
    """Open new database connections in a pool's process, and end it with its parent, however that ends."""
    _die_with_parent()
    app = _flask_app(current_app)
    if app is not None:
        with app.app_context():
            db.engine.dispose(close=False)


@task_prerun.connect
def _tick_begins(sender: Any, task_id: str, **_: Any) -> None:
    if _is_tick(sender):
        _started[task_id] = utcnow()


@task_postrun.connect
def _tick_ends(sender: Any, task_id: str, state: str, retval: Any = None, **_: Any) -> None:
    """Note for the schedule page when a task that beat starts by itself last ran, and what came of it."""
    started_at, app = _started.pop(task_id, None), _flask_app(sender.app)
    if started_at is None or app is None:
        return
    error = describe_error(retval) if isinstance(retval, BaseException) else ""
    try:
        with app.app_context():
            note_run(sender.name, started_at=started_at, outcome=Outcome.FAILED if error else Outcome.OK, error=error)
    except (SQLAlchemyError, OSError) as failure:
        logger.warning("the run of %s could not be noted: %s", sender.name, type(failure).__name__)


def _is_tick(task: Any) -> bool:
    return any(entry["task"] == task.name for entry in task.app.conf.beat_schedule.values())


def _begin_pulse(celery: Celery, kind: str, lanes: str) -> None:
    app = _flask_app(celery)
    if app is None:
        return
    pulse = Pulse(app, kind, lanes, _activity, _look_around if kind == Kind.WORKER else None, note_predecessor)
    _pulses.append(pulse)
    pulse.start()


def _look_around() -> None:
    """See who has died, beat too, and tell what the dead of this machine knew: a sweep may never come to run on it."""
    note_lost_processes()
    replay_dead_journals(current_settings().journal_dir)


def _activity() -> Activity:
    counts: dict[str, int] = worker_state.total_count
    running = [_running(request) for request in list(worker_state.active_requests)]
    in_order = tuple(sorted(running, key=lambda task: task.since))
    return Activity(active=len(in_order), processed=sum(counts.values()), running=in_order)


def _running(request: Any) -> RunningTask:
    kept = [each for each in request.args or () if isinstance(each, int) or mask(str(each)) == str(each)]
    return RunningTask(str(request.id), str(request.name), tuple(kept), float(request.time_start or time.time()))


def _flask_app(celery: Celery) -> Flask | None:
    return getattr(celery, "flask_app", None)


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends; elsewhere the pool notices by itself, a little later."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
