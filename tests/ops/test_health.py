"""What anybody may ask: /healthz and /readyz, with parts really there or really away, and no inbox of real mail."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from campaigns.celery import LANES
from campaigns.clock import freeze, utcnow
from campaigns.config import load_settings
from campaigns.ops.heartbeats import SILENT_AFTER, Kind, record_heartbeat
from tests.ops.readiness import ask_whether_ready
from tests.parts import RedisServer, wait_until
from tests.stopwatch import Stopwatch


@pytest.fixture
def redis_to_break(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server
    redis_server.kill()
    redis_server.start()


def report_all() -> None:
    record_heartbeat("host:1:all", kind=Kind.WORKER, lanes=",".join(LANES))
    record_heartbeat("host:2:beat", kind=Kind.BEAT)


def test_healthz_answers_without_a_database(environ: dict[str, str]) -> None:
    application = create_app(load_settings({**environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}))
    answer = application.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


@pytest.mark.both_databases
def test_everything_there_is_ready(app: Flask, client: FlaskClient) -> None:
    report_all()
    answer = ask_whether_ready(client)
    assert answer.status_code == 200
    assert answer.json == {
        "ready": True,
        "checks": {
            "database": "ok",
            "redis": "ok",
            "broker": "ok",
            "worker mail.now": "ok",
            "worker mail.bulk": "ok",
            "worker work": "ok",
            "beat": "ok",
        },
    }


def test_a_lane_without_a_fresh_heartbeat_is_named(app: Flask, client: FlaskClient) -> None:
    record_heartbeat("host:1:now", kind=Kind.WORKER, lanes="mail.now")
    with freeze(utcnow() + SILENT_AFTER):
        record_heartbeat("host:2:bulk", kind=Kind.WORKER, lanes="mail.bulk")
        answer = ask_whether_ready(client)
    assert answer.status_code == 503
    checks = answer.json["checks"]
    assert checks["worker mail.now"] == "no worker of this lane reports"
    assert checks["worker mail.bulk"] == "ok"
    assert checks["beat"] == "beat does not report"


def test_redis_away_is_said_at_once(app: Flask, client: FlaskClient, redis_to_break: RedisServer) -> None:
    report_all()
    redis_to_break.kill()
    answer = ask_whether_ready(client)
    assert answer.status_code == 503
    assert answer.json["checks"] | {"redis": "", "broker": ""} == dict.fromkeys(answer.json["checks"], "ok") | {
        "redis": "",
        "broker": "",
    }
    assert answer.json["checks"]["redis"] == "cannot be reached"


def test_a_frozen_redis_is_said_within_two_seconds(
    app: Flask, client: FlaskClient, redis_to_break: RedisServer
) -> None:
    report_all()
    redis_to_break.signal(signal.SIGSTOP)
    stopwatch = Stopwatch()
    try:
        assert client.get("/readyz").status_code == 503
        assert stopwatch.seconds < 2.5
        wait_until(lambda: client.get("/readyz").json["checks"]["database"] == "ok")
    finally:
        redis_to_break.signal(signal.SIGCONT)


def test_a_database_that_is_away_is_said_and_names_no_address(environ: dict[str, str]) -> None:
    application = create_app(load_settings({**environ, "DATABASE_URL": "postgresql://user:secret@127.0.0.1:1/none"}))
    answer = ask_whether_ready(application.test_client())
    assert answer.status_code == 503
    assert answer.json["checks"]["database"] == "cannot be reached"
    assert answer.json["checks"]["redis"] == "ok"
    assert "secret" not in answer.text


def test_with_a_mail_server_there_is_no_inbox(client: FlaskClient) -> None:
    for path in ("/inbox", "/inbox/1", "/inbox/1/html", "/inbox/1/raw"):
        assert client.get(path).status_code == 404
