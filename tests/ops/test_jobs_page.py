"""The jobs page: what runs, what waits, what failed; also when the queue is away."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.celery import LANES
from campaigns.clock import freeze, utcnow
from campaigns.mail.tasks import send_mail
from campaigns.ops.failed_tasks import Failure, open_failures, record_failure
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.ops.jobs import Trouble, read_jobs
from tests.pages import forms_of
from tests.parts import RedisServer
from tests.people import log_in, make_user

ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def redis_to_break(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server
    redis_server.kill()
    redis_server.start()


@pytest.fixture
def all_reporting(app: Flask) -> None:
    record_heartbeat("host:1:all", kind=Kind.WORKER, lanes=",".join(LANES))
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)


def test_all_well_is_said_in_one_sentence(owner_client: FlaskClient, all_reporting: None) -> None:
    page = owner_client.get("/jobs", headers=ENGLISH)
    assert page.status_code == 200
    assert "Everything is running." in page.text
    assert "host:1" in page.text
    assert "No failed tasks" in page.text


def test_nobody_reporting_is_stopped_with_the_commands_to_start(owner_client: FlaskClient) -> None:
    page = owner_client.get("/jobs", headers=ENGLISH).text
    assert "Jobs have stopped." in page
    assert "celery -A celery_worker worker -Q mail.now,mail.bulk,work" in page
    assert "celery -A celery_worker beat" in page


def test_redis_away_shows_a_red_box_with_the_command_to_check(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    redis_to_break.kill()
    began = time.monotonic()
    page = owner_client.get("/jobs", headers=ENGLISH)
    assert time.monotonic() - began < 5
    assert page.status_code == 200
    assert 'class="notice bad"' in page.text
    assert f"redis-cli -s {redis_to_break.socket} ping" in page.text


def test_a_frozen_redis_delays_the_page_by_less_than_five_seconds(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    redis_to_break.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        page = owner_client.get("/jobs", headers=ENGLISH)
    finally:
        redis_to_break.signal(signal.SIGCONT)
    assert time.monotonic() - began < 5
    assert "The message queue cannot be reached." in page.text


def test_the_age_of_a_queue_is_that_of_its_oldest_message(app: Flask, all_reporting: None) -> None:
    send_mail.apply_async((1,), headers={"published_at": time.time() - 90})
    send_mail.delay(2)
    jobs = read_jobs()
    queue = next(queue for queue in jobs.queues or () if queue.lane == "mail.now")
    assert queue.length == 2
    assert 89 < (queue.oldest_seconds or 0) < 95
    assert jobs.state == "slow"
    assert jobs.troubles == [Trouble.LONG_WAIT]


def test_a_message_carries_when_it_was_published(app: Flask, all_reporting: None) -> None:
    send_mail.delay(1)
    queue = next(queue for queue in read_jobs().queues or () if queue.lane == "mail.now")
    assert queue.oldest_seconds is not None
    assert queue.oldest_seconds < 5


def test_a_worker_that_fell_silent_is_marked_and_forgotten_later(app: Flask, all_reporting: None) -> None:
    with freeze(utcnow() + timedelta(minutes=1)):
        jobs = read_jobs()
        assert jobs.fresh_workers == 0
        assert len(jobs.workers) == 1
        assert jobs.state == "stopped"


def test_a_failed_task_shows_its_reason_and_traceback(owner_client: FlaskClient, all_reporting: None) -> None:
    record_failure(
        Failure(
            "id-1", "delivery.send_batch", [7, 3], reason="ValueError: <b>broken</b>", traceback="Traceback: line 1"
        )
    )
    page = owner_client.get("/jobs", headers=ENGLISH).text
    assert "Send a batch" in page
    assert "ValueError: &lt;b&gt;broken&lt;/b&gt;" in page
    assert "Traceback: line 1" in page
    assert "what was already sent is not sent a second time" in page


def test_running_a_failed_task_again_puts_it_into_its_queue_once(
    owner_client: FlaskClient, all_reporting: None
) -> None:
    record_failure(Failure("id-1", "mail.send_mail", [7], reason="x"))
    token = csrf_token(owner_client)
    action = f"/jobs/failed/{open_failures()[0].id}/run-again"
    for _ in range(2):
        assert owner_client.post(action, data={"csrf_token": token}).status_code == 303
    assert [queue.length for queue in read_jobs().queues or () if queue.lane == "mail.now"] == [1]
    assert open_failures() == []


def test_running_again_while_the_queue_is_away_keeps_the_task_on_the_page(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    record_failure(Failure("id-1", "mail.send_mail", [7], reason="x"))
    token = csrf_token(owner_client)
    redis_to_break.kill()
    action = f"/jobs/failed/{open_failures()[0].id}/run-again"
    page = owner_client.post(action, data={"csrf_token": token}, headers=ENGLISH, follow_redirects=True)
    assert "nothing was started" in page.text
    assert len(open_failures()) == 1


def test_a_failed_task_can_be_set_aside(owner_client: FlaskClient, all_reporting: None) -> None:
    record_failure(Failure("id-1", "mail.send_mail", [7], reason="x"))
    token = csrf_token(owner_client)
    owner_client.post(f"/jobs/failed/{open_failures()[0].id}/set-aside", data={"csrf_token": token})
    assert open_failures() == []


def test_the_polled_part_comes_alone_and_holds_no_form(owner_client: FlaskClient, all_reporting: None) -> None:
    part = owner_client.get("/jobs", headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.text
    assert forms_of(part.text) == []
    assert 'hx-trigger="every 5s"' in part.text


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("editor", 403), ("sender", 403), ("admin", 200)])
def test_only_admins_and_owners_see_jobs(app: Flask, role: str, status: int) -> None:
    person: User = make_user(f"{role}@example.com", role=role, password=True)
    assert log_in(app, person).get("/jobs").status_code == status


def csrf_token(client: FlaskClient) -> str:
    forms = forms_of(client.get("/jobs").text)
    return next(form["fields"]["csrf_token"] for form in forms if "csrf_token" in form["fields"])
