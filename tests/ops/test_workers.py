"""Real Celery processes: their signs of life, and what is kept of a task that failed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from campaigns.extensions import db
from campaigns.ops.failed_tasks import open_failures
from campaigns.ops.heartbeats import Kind, all_heartbeats
from campaigns.ops.models import FailedTask, Heartbeat
from tests.parts import wait_until

WORKER = ("celery", "-A", "celery_worker", "worker", "-I", "tests.ops.failing_tasks", "-c", "2")


def heartbeats(kind: str) -> list[Heartbeat]:
    db.session.rollback()
    db.session.expire_all()
    return [each for each in all_heartbeats() if each.kind == kind]


def failures() -> list[FailedTask]:
    db.session.rollback()
    db.session.expire_all()
    return open_failures()


def test_a_worker_without_q_serves_every_lane_and_signs_off_when_it_ends(
    app: Flask, start_process: Callable[..., Any]
) -> None:
    process = start_process(*WORKER, "-P", "threads")
    (heartbeat,) = wait_until(lambda: heartbeats(Kind.WORKER), seconds=30)
    assert heartbeat.lanes == "mail.bulk,mail.now,work"
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    assert heartbeats(Kind.WORKER) == []


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_that_fails_is_kept_with_arguments_reason_and_traceback(
    app: Flask, start_process: Callable[..., Any], pool: str
) -> None:
    start_process(*WORKER, "-P", pool)
    app.extensions["celery"].send_task("tests.fail", (7,))
    (failed,) = wait_until(failures, seconds=30)
    assert failed.name == "tests.fail"
    assert failed.arguments == {"args": [7], "kwargs": {}}
    assert failed.reason == "ValueError: number 7 is no good"
    assert "failing_tasks.py" in failed.traceback
    assert failed.tries == 1


def test_a_task_that_no_worker_knows_is_kept(app: Flask, start_process: Callable[..., Any]) -> None:
    start_process(*WORKER, "-P", "threads")
    app.extensions["celery"].send_task("tests.unknown", (7,))
    (failed,) = wait_until(failures, seconds=30)
    assert failed.name == "tests.unknown"
    assert "No such task" in failed.reason


def test_a_worker_lives_on_while_the_database_is_away_and_signs_when_it_is_back(
    app: Flask, start_process: Callable[..., Any], environ: dict[str, str], tmp_path: Path
) -> None:
    database = Path(environ["DATABASE_URL"].removeprefix("sqlite:///"))
    db.session.rollback()
    db.engine.dispose()
    database.rename(tmp_path / "away")
    database.mkdir()  # a folder in its place cannot be opened as a database, nor made anew
    process = start_process(*WORKER, "-P", "threads")
    time.sleep(8)
    assert process.poll() is None
    database.rmdir()
    (tmp_path / "away").rename(database)
    wait_until(lambda: heartbeats(Kind.WORKER), seconds=30)


def test_beat_signs_and_its_tick_comes_through(app: Flask, start_process: Callable[..., Any]) -> None:
    start_process(*WORKER, "-P", "threads")
    start_process("celery", "-A", "celery_worker", "beat")
    wait_until(lambda: heartbeats(Kind.BEAT), seconds=30)
    wait_until(lambda: heartbeats(Kind.TICK), seconds=40)
