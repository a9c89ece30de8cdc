"""Real Celery processes: their signs of life, and what is kept of a task that failed."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.ops.heartbeats import Kind, all_heartbeats, record_heartbeat, running_tasks
from campaigns.ops.models import FailedTask, Heartbeat
from tests.ops.failures import open_failures
from tests.parts import wait_until

WORKER = ("celery_worker", "worker", "-I", "tests.ops.failing_tasks", "-c", "2")


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
    (heartbeat,) = wait_until(lambda: heartbeats(Kind.WORKER))
    assert heartbeat.lanes == "mail.bulk,mail.now,work"
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)
    assert heartbeats(Kind.WORKER) == []


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_that_fails_is_kept_with_arguments_reason_and_traceback(
    app: Flask, start_process: Callable[..., Any], pool: str
) -> None:
    start_process(*WORKER, "-P", pool)
    app.extensions["celery"].send_task("tests.fail", (7,))
    (failed,) = wait_until(failures)
    assert failed.name == "tests.fail"
    assert failed.arguments == {"args": [7], "kwargs": {}}
    assert failed.reason == "ValueError: number 7 is no good"
    assert "failing_tasks.py" in failed.traceback
    assert failed.tries == 1
    assert failed.kind == "raised"


def test_a_task_that_no_worker_knows_is_kept(app: Flask, start_process: Callable[..., Any]) -> None:
    start_process(*WORKER, "-P", "threads")
    app.extensions["celery"].send_task("tests.unknown", (7,))
    (failed,) = wait_until(failures)
    assert failed.name == "tests.unknown"
    assert "No such task" in failed.reason
    assert failed.kind == "unknown"


def test_what_is_kept_of_a_failure_holds_no_address_token_or_password(
    app: Flask, start_process: Callable[..., Any]
) -> None:
    start_process(*WORKER, "-P", "prefork")
    app.extensions["celery"].send_task("tests.fail_with_secrets", (7,))
    (failed,) = wait_until(failures)
    assert failed.reason.startswith("ValueError: [address] refused; link https://x.example.com/password/reset/[token];")
    for secret in ("kim@example.com", "Zx81kQpLm2", "hunter2"):
        assert secret not in failed.reason + failed.traceback
    assert "fail_with_secrets" in failed.traceback


@pytest.mark.parametrize(("task", "kind"), [("tests.take_long", "soft_limit"), ("tests.take_too_long", "hard_limit")])
def test_a_task_that_takes_too_long_is_kept_as_that(
    app: Flask, start_process: Callable[..., Any], task: str, kind: str
) -> None:
    start_process(*WORKER, "-P", "prefork")
    app.extensions["celery"].send_task(task)
    (failed,) = wait_until(failures)
    assert (failed.name, failed.kind) == (task, kind)
    assert failed.worker


def test_a_task_whose_process_dies_is_kept_and_runs_again(
    app: Flask, start_process: Callable[..., Any], tmp_path: Path
) -> None:
    start_process(*WORKER, "-P", "prefork")
    app.extensions["celery"].send_task("tests.die_once", (str(tmp_path / "mark"),))
    (failed,) = wait_until(failures)
    assert failed.kind == "worker_lost"
    assert "went back into its queue" in failed.reason
    wait_until(lambda: (tmp_path / "mark").read_text() == "done")


def test_a_task_that_somebody_revokes_is_kept(app: Flask, start_process: Callable[..., Any], tmp_path: Path) -> None:
    celery = app.extensions["celery"]
    start_process(*WORKER, "-P", "prefork")
    result = celery.send_task("tests.wait_for", (str(tmp_path / "never"),))
    wait_until(lambda: [task for each in heartbeats(Kind.WORKER) for task in running_tasks(each)])
    celery.control.revoke(result.id, terminate=True, signal="SIGKILL")
    (failed,) = wait_until(failures)
    assert (failed.name, failed.kind) == ("tests.wait_for", "revoked")


@pytest.mark.parametrize(
    ("content_type", "kind"), [("application/json", "undecodable"), ("application/x-python-serialize", "rejected")]
)
def test_a_message_that_cannot_be_decoded_is_kept_without_its_body(
    app: Flask, start_process: Callable[..., Any], capfd: pytest.CaptureFixture[str], content_type: str, kind: str
) -> None:
    start_process(*WORKER, "-P", "threads")
    celery = app.extensions["celery"]
    with celery.connection_for_write() as connection, connection.channel() as channel:
        producer = connection.Producer(channel)
        producer.publish(
            "{kim@example.com",
            routing_key="work",
            content_type=content_type,
            content_encoding="utf-8",
            headers={"id": "message-1", "task": "tests.fail"},
            declare=[celery.amqp.queues["work"]],
        )
    (failed,) = wait_until(failures)
    assert (failed.kind, failed.name, failed.task_id) == (kind, "tests.fail", "message-1")
    assert "kim" not in failed.reason + failed.traceback + "".join(capfd.readouterr())


def test_a_message_that_is_no_tasks_is_kept(app: Flask, start_process: Callable[..., Any]) -> None:
    start_process(*WORKER, "-P", "threads")
    celery = app.extensions["celery"]
    with celery.connection_for_write() as connection, connection.channel() as channel:
        producer = connection.Producer(channel, serializer="json")
        producer.publish({"hello": "kim@example.com"}, routing_key="work", declare=[celery.amqp.queues["work"]])
    (failed,) = wait_until(failures)
    assert failed.kind == "rejected"
    assert "kim" not in failed.reason


def test_beat_that_crashes_says_why_and_signs_off(app: Flask, start_process: Callable[..., Any]) -> None:
    process = start_process("celery", "-A", "celery_worker", "beat", "-S", "tests.ops.dying_scheduler:DyingScheduler")
    (failed,) = wait_until(failures)
    assert (failed.name, failed.kind) == ("beat", "beat_crashed")
    assert failed.reason == "RuntimeError: no time left for [address]"
    process.wait(timeout=90)
    assert heartbeats(Kind.BEAT) == []


def test_beat_signs_off_when_it_is_stopped(app: Flask, start_process: Callable[..., Any]) -> None:
    process = start_process("celery_worker", "beat")
    wait_until(lambda: heartbeats(Kind.BEAT))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)
    assert heartbeats(Kind.BEAT) == []


def test_workers_keep_that_a_process_died_without_a_word(app: Flask, start_process: Callable[..., Any]) -> None:
    with freeze(utcnow() - timedelta(seconds=120)):
        record_heartbeat("host:7:beat", kind=Kind.BEAT)
        record_heartbeat("tick", kind=Kind.TICK)
    record_heartbeat("host:8:work", kind=Kind.WORKER, lanes="work")
    start_process(*WORKER, "-P", "threads")
    (failed,) = wait_until(failures)
    assert (failed.name, failed.kind, failed.worker) == ("beat", "process_died", "host:7")


def test_a_worker_keeps_that_one_of_its_own_name_died_before_it(app: Flask, start_process: Callable[..., Any]) -> None:
    """As in a container that starts again: same host, same process id, and a heartbeat that is not silent."""
    process = start_process(*WORKER, "-P", "threads")
    process.send_signal(signal.SIGSTOP)
    name = f"{socket.gethostname()}:{process.pid}:mail.bulk,mail.now,work"
    died_in = utcnow() - timedelta(minutes=5)
    record_heartbeat(name, kind=Kind.WORKER, lanes="mail.bulk,mail.now,work", started_at=died_in)
    process.send_signal(signal.SIGCONT)
    (failed,) = wait_until(failures)
    assert (failed.name, failed.kind) == ("worker", "process_died")
    (heartbeat,) = wait_until(lambda: [each for each in heartbeats(Kind.WORKER) if each.started_at > died_in])
    assert heartbeat.name == name


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
    wait_until(lambda: heartbeats(Kind.WORKER))


def test_beat_signs_and_its_tick_comes_through(app: Flask, start_process: Callable[..., Any]) -> None:
    start_process(*WORKER, "-P", "threads")
    start_process("celery_worker", "beat")
    wait_until(lambda: heartbeats(Kind.BEAT))
    wait_until(lambda: heartbeats(Kind.TICK))
