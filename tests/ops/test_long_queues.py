"""Producers are limited too: a long queue holds new campaigns, work that can wait waits, a double click acts once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from app import create_app
from campaigns.accounts.models import User
from campaigns.backlog import BUSY_LENGTH, enqueue_unhurried, find_backlog
from campaigns.celery import BULK, WORK, enqueue, lane_length
from campaigns.compose.models import Campaign
from campaigns.config import load_settings
from campaigns.delivery.launch import launch_now
from campaigns.delivery.tasks import end_hold, reconcile_campaigns, send_batch
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from tests.delivery.campaigns import make_campaign
from tests.ops.readiness import ask_whether_ready
from tests.pages import forms_of, submit
from tests.parts import RedisServer
from tests.people import log_in, make_user, make_users

RunQueued = Callable[..., list[str]]


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "QUEUE_MARK": "20", "PUBLIC_MAILS_PER_HOUR": "5"}


@pytest.fixture
def redis_to_fill(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server
    with redis_server.client() as client:
        client.config_set("maxmemory", "0")


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


def fill(messages: int) -> None:
    for _ in range(messages):
        enqueue(send_batch, 999_999, 1)


def state_of(campaign_id: int) -> str:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id).state


def count_mails() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(OutboxMail)) or 0


@pytest.mark.both_databases
def test_a_long_queue_holds_a_new_campaign_and_the_page_says_why(
    app: Flask, owner_client: FlaskClient, run_queued: RunQueued
) -> None:
    make_users(3)
    fill(21)
    campaign_id = make_campaign()
    launch_now(campaign_id, by=None, launch_key="k", hold_seconds=0)
    end_hold(campaign_id)
    assert state_of(campaign_id) == "starting"
    page = owner_client.get(f"/campaigns/{campaign_id}/progress").text
    assert "Waiting for the queues" in page
    assert "21 tasks wait already, more than the 20" in page
    assert "a queue is too long (Announcements)" in owner_client.get("/").text

    run_queued()  # the queue empties
    reconcile_campaigns()
    run_queued()
    assert state_of(campaign_id) == "sending"
    assert "a queue is too long" not in owner_client.get("/").text


def test_a_queue_at_its_mark_holds_nobody(app: Flask) -> None:
    fill(20)
    assert find_backlog() is None
    fill(1)
    backlog = find_backlog()
    assert backlog is not None
    assert (backlog.lane, backlog.length, backlog.mark) == (BULK, 21, 20)


def test_work_that_nobody_waits_for_comes_later_while_the_queue_is_long(app: Flask) -> None:
    task = app.extensions["celery"].tasks["ops.clean_up"]
    assert enqueue_unhurried(task, expires=60)
    assert eta_of_last(app) is None
    for _ in range(BUSY_LENGTH):
        enqueue(end_hold, 999_999)
    assert enqueue_unhurried(task, expires=60)
    assert eta_of_last(app) is not None


def eta_of_last(app: Flask) -> str | None:
    """Return when the message that was published last is to run."""
    with app.extensions["celery"].connection_for_read() as connection:
        queue = connection.SimpleQueue(app.extensions["celery"].amqp.queues[WORK])
        messages = [queue.get(block=False) for _ in range(lane_length(WORK) or 0)]
        for message in messages:
            message.requeue()
        queue.close()
    clean_ups = [message for message in messages if message.headers["task"] == "ops.clean_up"]
    return next((message.headers["eta"] for message in clean_ups if message.headers["eta"]), None)


def test_a_form_that_is_sent_twice_causes_one_mail(app: Flask, client: FlaskClient) -> None:
    make_user("dana@example.com", password=True)
    fields = next(form["fields"] for form in forms_of(client.get("/password/forgot").text) if "email" in form["fields"])
    answers = [client.post("/password/forgot", data={**fields, "email": "dana@example.com"}) for _ in range(2)]
    assert [(answer.status_code, answer.location) for answer in answers] == [(303, "/password/forgot/sent")] * 2
    assert count_mails() == 1
    submit(client, "/password/forgot", {"email": "dana@example.com"})
    assert count_mails() == 2


def test_a_job_whose_button_is_pressed_twice_runs_once(app: Flask, owner_client: FlaskClient) -> None:
    page = owner_client.get("/jobs/schedule").text
    action = next(form["action"] for form in forms_of(page) if form["action"].endswith("ops.clean_up/run"))
    for _ in range(2):
        submit(owner_client, "/jobs/schedule", {}, action=action)
    assert lane_length(WORK) == 1


def test_many_addresses_and_networks_together_cannot_make_the_site_a_bomb(
    app: Flask, owner_client: FlaskClient
) -> None:
    for number in range(5):
        visitor = app.test_client()
        visitor.environ_base["REMOTE_ADDR"] = f"198.51.{number}.7"
        assert submit(visitor, "/password/forgot", {"email": f"p{number}@example.com"}).status_code == 303
    stranger = app.test_client()
    stranger.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    refused = submit(stranger, "/signup", {"email": "new@example.com", "password": "a long and quiet river"})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Signing up and password resets are paused" in owner_client.get("/").text


def test_a_full_redis_is_said_and_pages_go_on(
    app: Flask, owner_client: FlaskClient, redis_to_fill: RedisServer
) -> None:
    with redis_to_fill.client() as client:
        client.config_set("maxmemory", "1mb")
    assert ask_whether_ready(owner_client).json["checks"]["redis"] == "is full"  # type: ignore[index]
    assert "Redis is full" in owner_client.get("/").text
    before = count_mails()
    visitor = app.test_client()
    fields = {"email": "new@example.com", "password": "a long and quiet river"}
    assert submit(visitor, "/signup", fields).status_code == 303
    assert count_mails() == before + 1, "the mail is in the outbox, and goes out when there is room"


def test_with_redis_away_nothing_is_held(environ: dict[str, str]) -> None:
    app = create_app(load_settings({**environ, "REDIS_URL": "redis://127.0.0.1:1/0"}))
    with app.app_context():
        assert find_backlog() is None
    app.extensions["celery"].close()


@pytest.mark.both_databases
def test_the_jobs_page_says_of_the_queues_what_the_dashboard_says(
    app: Flask, owner_client: FlaskClient, redis_to_fill: RedisServer
) -> None:
    fill(21)
    page = owner_client.get("/jobs").text
    assert "New campaigns wait: a queue is too long (Announcements)." in page
    assert "21 tasks wait, and the mark is 20." in page
    with redis_to_fill.client() as client:
        client.config_set("maxmemory", "1mb")
    page = owner_client.get("/jobs").text
    assert "Jobs have stopped." in page
    assert "Redis is full, so nothing can be put into the queues." in page


@pytest.mark.parametrize(
    ("told", "at_home", "on_jobs_page"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis cannot be reached.", "Redis cannot be reached."),
        ({"BROKER_URL": "amqp://127.0.0.1:1//"}, "RabbitMQ cannot be reached.", "The message queue cannot be reached."),
    ],
)
def test_what_is_away_is_said_on_the_dashboard_and_on_the_jobs_page(
    environ: dict[str, str], told: dict[str, str], at_home: str, on_jobs_page: str
) -> None:
    app = create_app(load_settings({**environ, "BROKER_URL": environ["REDIS_URL"], **told}))
    with app.app_context():
        client = log_in(app, make_user("ada@example.com", role="owner", language="en", password=True))
    assert at_home in client.get("/").text
    page = client.get("/jobs").text
    assert on_jobs_page in page
    assert "Jobs have stopped." in page
    app.extensions["celery"].close()
