"""The jobs page: what runs, what waits, what failed; also when the queue is away."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.celery import LANES, ROUTES
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.mail.tasks import send_mail
from campaigns.ops.failed_tasks import Failure, record_failure
from campaigns.ops.failure_kinds import FailureKind
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.ops.jobs import Trouble, read_jobs
from campaigns.ops.models import FailedTask
from campaigns.ops.repeating import what_a_repeat_does
from campaigns.ops.scheduled import is_periodic
from tests.delivery.campaigns import make_campaign
from tests.ops.failures import open_failures
from tests.pages import forms_of
from tests.parts import RedisServer
from tests.people import log_in, make_user
from tests.smtp_sink import Sink
from tests.stopwatch import Stopwatch

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
    assert "python -m celery_worker worker -Q mail.now,mail.bulk,work" in page
    assert "python -m celery_worker beat" in page


def test_redis_away_shows_a_red_box_with_the_command_to_check(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    redis_to_break.kill()
    stopwatch = Stopwatch()
    page = owner_client.get("/jobs", headers=ENGLISH)
    assert stopwatch.seconds < 5
    assert page.status_code == 200
    assert 'class="notice bad"' in page.text
    assert f"redis-cli -s {redis_to_break.socket} ping" in page.text


def test_a_frozen_redis_delays_the_page_by_less_than_five_seconds(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    redis_to_break.signal(signal.SIGSTOP)
    stopwatch = Stopwatch()
    try:
        page = owner_client.get("/jobs", headers=ENGLISH)
    finally:
        redis_to_break.signal(signal.SIGCONT)
    assert stopwatch.seconds < 5
    assert "The message queue cannot be reached." in page.text


def test_the_age_of_a_queue_is_that_of_its_oldest_message(app: Flask, all_reporting: None) -> None:
    began = time.time()
    send_mail.apply_async((1,), headers={"published_at": began - 90})
    send_mail.delay(2)
    jobs = read_jobs()
    queue = next(queue for queue in jobs.queues or () if queue.lane == "mail.now")
    assert queue.length == 2
    assert 90 <= (queue.oldest_seconds or 0) <= 90 + time.time() - began
    assert jobs.state == "slow"
    assert jobs.troubles == [Trouble.LONG_WAIT]


def test_a_message_carries_when_it_was_published(app: Flask, all_reporting: None) -> None:
    began = time.time()
    send_mail.delay(1)
    queue = next(queue for queue in read_jobs().queues or () if queue.lane == "mail.now")
    assert queue.oldest_seconds is not None
    assert 0 <= queue.oldest_seconds <= time.time() - began


def test_a_worker_that_fell_silent_is_marked_and_forgotten_later(app: Flask, all_reporting: None) -> None:
    with freeze(utcnow() + timedelta(minutes=1)):
        jobs = read_jobs()
        assert jobs.fresh_workers == 0
        assert len(jobs.workers) == 1
        assert jobs.state == "stopped"


def fail(task_id: str = "id-1", name: str = "mail.send_mail", args: Sequence[object] = (7,), **more: object) -> int:
    record_failure(Failure(task_id, name, list(args), **{"reason": "ValueError: x", **more}))  # type: ignore[arg-type]
    return open_failures()[0].id


def post(client: FlaskClient, path: str) -> TestResponse:
    fields = {"csrf_token": csrf_token(client)}
    return client.post(path, data=fields, headers=ENGLISH, follow_redirects=True)


def waiting(lane: str) -> int:
    return next(queue.length for queue in read_jobs().queues or () if queue.lane == lane)


def test_a_failed_task_shows_its_reason_object_and_traceback(owner_client: FlaskClient, all_reporting: None) -> None:
    campaign_id = make_campaign(subject="November news")
    failed_id = fail(
        name="delivery.send_batch",
        args=[campaign_id, 3],
        reason="ValueError: <b>broken</b> for kim@example.com",
        traceback="Traceback: line 1",
        worker="celery@bulk1",
    )
    listed = owner_client.get("/jobs", headers=ENGLISH).text
    page = owner_client.get(f"/jobs/failed/{failed_id}", headers=ENGLISH).text
    for text in (listed, page):
        assert "Send a batch" in text
        assert "ValueError: &lt;b&gt;broken&lt;/b&gt; for [address]" in text
        assert "November news, batch 3" in text
        assert "Safe: only people of the batch who still wait get the mail." in text
    assert f'href="/campaigns/{campaign_id}/progress"' in page
    assert "Traceback: line 1" in page
    assert "celery@bulk1" in page


def test_running_a_failed_task_again_puts_it_into_its_queue_once(
    owner_client: FlaskClient, all_reporting: None
) -> None:
    action = f"/jobs/failed/{fail()}/run-again"
    token = csrf_token(owner_client)
    for _ in range(2):
        assert owner_client.post(action, data={"csrf_token": token}).status_code == 303
    assert waiting("mail.now") == 1
    assert open_failures() == []
    (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.action.startswith("job.")))
    assert (entry.actor, entry.action, entry.target) == ("ada@example.com", "job.run_again", "mail.send_mail")


def test_running_again_while_the_queue_is_away_keeps_the_task_on_the_page(
    owner_client: FlaskClient, all_reporting: None, redis_to_break: RedisServer
) -> None:
    failed_id = fail()
    token = csrf_token(owner_client)
    redis_to_break.kill()
    action = f"/jobs/failed/{failed_id}/run-again"
    page = owner_client.post(action, data={"csrf_token": token}, headers=ENGLISH, follow_redirects=True)
    assert "nothing was started" in page.text
    assert len(open_failures()) == 1


def test_a_failed_task_can_be_set_aside(owner_client: FlaskClient, all_reporting: None) -> None:
    page = post(owner_client, f"/jobs/failed/{fail()}/set-aside").text
    assert "The failed task was set aside." in page
    assert open_failures() == []
    assert "job.set_aside" in db.session.scalars(select(AuditEntry.action)).all()


@pytest.mark.both_databases
def test_failures_for_one_reason_are_one_line_and_run_again_together(
    owner_client: FlaskClient, all_reporting: None
) -> None:
    for n in (1, 2, 3, 3):
        fail(f"id-{n}-{len(open_failures())}", args=[n], reason=f"TimeoutError: after {n} s")
    fail("other", reason="KeyError: y")
    groups = read_jobs().failed
    assert [(group.newest.reason[:8], group.count) for group in groups] == [("KeyError", 1), ("TimeoutE", 4)]
    page = post(owner_client, f"/jobs/failed/groups/{groups[1].newest.group_key}/run-again").text
    assert "3 tasks were started again." in page
    assert waiting("mail.now") == 3
    assert [each.task_id for each in open_failures()] == ["other"]


def test_failures_for_one_reason_are_set_aside_together(owner_client: FlaskClient, all_reporting: None) -> None:
    for n in (1, 2):
        fail(f"id-{n}", args=[n])
    page = post(owner_client, f"/jobs/failed/groups/{read_jobs().failed[0].newest.group_key}/set-aside").text
    assert "2 failed tasks were set aside." in page
    assert open_failures() == []


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"kind": FailureKind.PROCESS_DIED, "name": "beat"}, "There is nothing to run again."),
        ({"args": ["kim@example.com"]}, "Its arguments were not kept"),
    ],
)
def test_what_cannot_be_run_again_says_so(
    owner_client: FlaskClient, all_reporting: None, more: dict[str, Any], why: str
) -> None:
    failed_id = fail(**more)
    page = owner_client.get("/jobs", headers=ENGLISH).text
    assert why in page
    assert "run-again" not in page
    assert "kim@" not in page + str(open_failures()[0].arguments)
    assert "cannot be run again" in post(owner_client, f"/jobs/failed/{failed_id}/run-again").text
    assert waiting("mail.now") == 0


def test_a_mail_that_was_sent_is_not_sent_again(
    owner_client: FlaskClient, all_reporting: None, run_queued: Callable[..., list[str]], sink: Sink
) -> None:
    mail = queue_mail(
        kind="reset_requested", to_address="ada@example.com", language="en", expires_at=utcnow() + timedelta(hours=1)
    )
    db.session.commit()
    send_mail.delay(mail.id)
    run_queued("mail.now")
    post(owner_client, f"/jobs/failed/{fail(args=[mail.id])}/run-again")
    assert run_queued("mail.now") == ["mail.send_mail"]
    assert len(sink.mails) == 1


def test_every_task_that_the_timer_does_not_run_says_what_a_repeat_does(app: Flask) -> None:
    said = {name: what_a_repeat_does(FailedTask(name=name, arguments={}, kind="raised")) for name in ROUTES}
    general = "Safe: every task of Carillon may run twice without doing anything twice."
    assert [name for name, words in said.items() if words == general and not is_periodic(name)] == []


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
