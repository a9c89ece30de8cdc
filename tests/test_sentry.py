"""Errors reach Sentry from the web server, workers and beat, by its real SDK, and take nobody's data along."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from flask import Flask, request
from sqlalchemy import text

from app import create_app
from campaigns import __version__
from campaigns.config import load_settings
from campaigns.errors import SettingsError
from campaigns.extensions import db
from campaigns.ops.tasks import beat_tick, run_clean_up
from campaigns.periodic_jobs import due_jobs, make_due, run_if_due
from campaigns.security import public
from tests.ops.test_workers import failures
from tests.parts import ROOT, wait_until
from tests.sentry_sink import SentrySink
from tests.stopwatch import Stopwatch

WORKER = ("celery_worker", "worker", "-I", "tests.ops.failing_tasks", "-c", "2")
BODY = " ".join(["the", "words", "of", "a", "mail"])  # not as it stands here: source lines of a trace are sent
TOKEN = "IjEi.aBc1dE.Zx81kQpLm2_vTtRw"
SECRETS = [
    b"kim@example.com",
    b"kim%40example.com",
    b"Zx81kQpLm2",
    b"hunter2",
    BODY.encode(),
    b"session-cookie",
]


@pytest.fixture
def sentry() -> Iterator[SentrySink]:
    with SentrySink().running() as sink:
        yield sink
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def environ(environ: dict[str, str], sentry: SentrySink) -> dict[str, str]:
    return {**environ, "SENTRY_DSN": sentry.dsn, "SENTRY_ENVIRONMENT": "proving-ground"}


def only_event(sentry: SentrySink) -> dict[str, Any]:
    sentry_sdk.flush()
    wait_until(lambda: sentry.events, what="an event")
    return sentry.events[0]


def holds_no_secret(sentry: SentrySink) -> None:
    assert [secret for secret in SECRETS if secret in sentry.raw] == []


def add_trouble(app: Flask) -> None:
    @public
    def trouble(campaign_id: int, token: str) -> str:
        body = request.form["body"]
        app.logger.warning("about to fail for %s with %s", request.form["email"], token)
        raise ValueError(
            f"{request.form['email']} cannot be taken: {token} password={request.form['password']}", body[:0]
        )

    app._got_first_request = False
    app.add_url_rule("/campaigns/<int:campaign_id>/trouble/<token>", "trouble", trouble, methods=["POST"])
    app.config.update(WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)


def run_into_trouble(app: Flask) -> Any:
    add_trouble(app)
    client = app.test_client()
    client.set_cookie("carillon", "session-cookie")
    form = {"email": "kim@example.com", "password": "hunter2", "body": BODY}
    path = f"/campaigns/7/trouble/{TOKEN}?email=kim%40example.com&next={TOKEN}"
    return client.post(path, data=form, headers={"Authorization": "Bearer hunter2"})


def test_an_error_of_a_page_arrives_without_what_the_person_sent(app: Flask, sentry: SentrySink) -> None:
    answer = run_into_trouble(app)
    assert answer.status_code == 500
    event = only_event(sentry)
    error = event["exception"]["values"][-1]
    assert error["type"] == "ValueError"
    assert "[address] cannot be taken: [token] password=[hidden]" in error["value"]
    assert event["transaction"] == "/campaigns/<int:campaign_id>/trouble/<token>"
    assert event["request"] == {"method": "POST", "url": "/campaigns/<int:campaign_id>/trouble/<token>"}
    assert event["tags"] == {"part": "web", "request_id": answer.headers["X-Request-ID"], "campaign_id": "7"}
    assert event["release"] == f"carillon@{__version__}"
    assert event["environment"] == "proving-ground"
    crumbs = [crumb.get("message", "") for crumb in event["breadcrumbs"]["values"]]
    assert "about to fail for [address] with [token]" in crumbs
    assert "vars" not in str(error["stacktrace"])
    assert len(sentry.events) == 1
    holds_no_secret(sentry)


def test_a_statement_that_fails_arrives_without_its_values(app: Flask, sentry: SentrySink) -> None:
    @public
    def trouble() -> str:
        with db.engine.connect() as connection:
            connection.execute(text("INSERT INTO users (email, name) VALUES (:email, :name)"), dict(request.form))
        return ""

    app.add_url_rule("/trouble", "trouble", trouble, methods=["POST"])
    app.config.update(WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)
    app.test_client().post("/trouble", data={"email": "kim@example.com", "name": BODY})
    event = only_event(sentry)
    assert "IntegrityError" in str(event["exception"])
    assert any("INSERT INTO users" in crumb.get("message", "") for crumb in event["breadcrumbs"]["values"])
    holds_no_secret(sentry)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_failed_task_arrives_from_a_real_worker(
    app: Flask, sentry: SentrySink, start_process: Callable[..., Any], pool: str
) -> None:
    start_process(*WORKER, "-P", pool)
    task = app.extensions["celery"].send_task("tests.fail_with_secrets", (7,))
    event = only_event(sentry)
    error = event["exception"]["values"][-1]
    assert error["value"].startswith("[address] refused; link https://x.example.com/password/reset/[token];")
    assert event["tags"]["task"] == "tests.fail_with_secrets"
    assert event["tags"]["task_id"] == task.id
    assert event["tags"]["part"] == "worker"
    assert event["environment"] == "proving-ground"
    assert len(sentry.events) == 1
    holds_no_secret(sentry)


def test_a_task_of_a_campaign_is_tagged_with_it_and_its_lane(
    app: Flask, sentry: SentrySink, start_process: Callable[..., Any]
) -> None:
    start_process(*WORKER, "-P", "threads")
    app.extensions["celery"].send_task("delivery.return_rows", (7, "kim@example.com"))
    event = only_event(sentry)
    assert event["tags"]["campaign_id"] == "7"
    assert event["tags"]["lane"] == "work"
    holds_no_secret(sentry)


def test_a_process_that_dies_under_its_task_arrives(
    app: Flask, sentry: SentrySink, start_process: Callable[..., Any], tmp_path: Any
) -> None:
    start_process(*WORKER, "-P", "prefork")
    app.extensions["celery"].send_task("tests.die_once", (str(tmp_path / "mark"),))
    assert "signal 9" in str(only_event(sentry))


def test_a_message_of_an_unknown_task_arrives_without_its_body(
    app: Flask, sentry: SentrySink, start_process: Callable[..., Any]
) -> None:
    start_process(*WORKER, "-P", "threads")
    app.extensions["celery"].send_task("tests.unknown", (BODY,))
    assert "tests.unknown" in str(only_event(sentry))
    holds_no_secret(sentry)


def test_beat_that_crashes_arrives(sentry: SentrySink, start_process: Callable[..., Any]) -> None:
    start_process("celery", "-A", "celery_worker", "beat", "-S", "tests.ops.dying_scheduler:DyingScheduler")
    event = only_event(sentry)
    assert "no time left for [address]" in str(event)
    assert event["tags"]["part"] == "beat"
    holds_no_secret(sentry)


def test_a_command_that_crashes_arrives_without_its_arguments(environ: dict[str, str], sentry: SentrySink) -> None:
    code = "from app import create_app; create_app(); raise RuntimeError('for kim@example.com')"
    subprocess.run([sys.executable, "-c", code, "kim@example.com"], env=environ, cwd=ROOT, check=False)
    event = only_event(sentry)
    assert event["exception"]["values"][-1]["value"] == "for [address]"
    assert event["tags"]["part"] == "command"
    holds_no_secret(sentry)


@pytest.mark.parametrize("sentry_crons", ["true", "false"])
def test_periodic_jobs_check_in_when_that_is_wanted(
    environ: dict[str, str], sentry: SentrySink, sentry_crons: str
) -> None:
    app = create_app(load_settings({**environ, "SENTRY_CRONS": sentry_crons}))
    with app.app_context():
        due_jobs()
        make_due("ops.clean_up")
        make_due("audit.check")
        db.session.commit()
        beat_tick()
        beat_tick()
        run_clean_up()
        with pytest.raises(ValueError, match="kim@"):
            run_if_due("audit.check", lambda: fail_for("kim@example.com"))
        db.session.remove()
    sentry_sdk.flush()
    told = [(each["monitor_slug"], each["status"]) for each in sentry.check_ins]
    if sentry_crons == "false":
        assert told == []
        return
    assert told[0] == ("beat", "ok")
    assert told[1:] == [
        ("ops-clean-up", "in_progress"),
        ("ops-clean-up", "ok"),
        ("audit-check", "in_progress"),
        ("audit-check", "error"),
    ]
    begun, ended = sentry.check_ins[1:3]
    assert begun["check_in_id"] == ended["check_in_id"] != "[token]"
    assert begun["monitor_config"]["schedule"] == {"type": "crontab", "value": "30 3 * * *"}
    assert begun["monitor_config"]["timezone"] == "Asia/Seoul"
    assert begun["environment"] == "proving-ground"
    holds_no_secret(sentry)


def fail_for(address: str) -> dict[str, int]:
    raise ValueError(address)


def test_a_sentry_that_never_answers_slows_nobody(app: Flask, sentry: SentrySink) -> None:
    sentry.answers.clear()
    stopwatch = Stopwatch()
    assert run_into_trouble(app).status_code == 500
    assert app.test_client().get("/healthz").status_code == 200
    assert stopwatch.seconds < 3


def test_a_worker_ends_soon_though_sentry_never_answers(
    app: Flask, sentry: SentrySink, start_process: Callable[..., Any]
) -> None:
    sentry.answers.clear()
    process = start_process(*WORKER, "-P", "threads")
    app.extensions["celery"].send_task("tests.fail", (7,))
    wait_until(failures)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=90)
    assert time.monotonic() - began < 60


def test_without_an_address_nothing_is_set_up(environ: dict[str, str]) -> None:
    code = "import sentry_sdk; from app import create_app; create_app(); print(sentry_sdk.is_initialized())"
    quiet = {**environ, "SENTRY_DSN": ""}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=quiet, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


def test_an_address_that_is_none_is_said_at_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="SENTRY_DSN: expected an address like"):
        load_settings({**environ, "SENTRY_DSN": "errors.example.com"})
