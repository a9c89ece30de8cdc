"""Flower beside Carillon: who is let through to it, who sees the link, and what it gets to see."""

from __future__ import annotations

import inspect
import os
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from app import create_app
from campaigns.celery import LANES, celery_settings, lane_length
from campaigns.config import SettingsError, load_settings
from campaigns.extensions import db
from campaigns.mail.tasks import send_mail
from tests import parts
from tests.ops.flower import ask_flower, tasks_seen
from tests.pages import submit
from tests.people import PASSWORD, log_in, make_user
from tests.smtp_sink import free_port

RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
FLOWER = ("celery", "-A", "celery_worker", "flower", "--conf=campaigns/ops/flower_server.py")
WORKER = ("celery_worker", "worker", "-Q", "mail.now", "-P", "threads", "-c", "1")


@pytest.fixture
def flower_environ(environ: dict[str, str]) -> dict[str, str]:
    environ |= {"FLOWER_URL": "https://carillon.example.test/tasks/flower", "FLOWER_PORT": str(free_port())}
    environ |= {"FLOWER_PASSWORD": "a-password-for-flower"}
    return environ


@pytest.fixture
def flower_app(flower_environ: dict[str, str], request: pytest.FixtureRequest) -> Flask:
    application: Flask = request.getfixturevalue("app")
    make_user("owner@example.com", role="owner")  # so that the site is set up
    return application


@pytest.mark.parametrize(("role", "status"), [("owner", 204), ("admin", 204), ("sender", 403), (None, 403)])
def test_the_proxy_is_told_whom_to_let_through(flower_app: Flask, role: str | None, status: int) -> None:
    client = log_in(flower_app, make_user("pat@example.com", role=role, password=True))
    answer = client.get("/auth/flower")
    assert answer.status_code == status
    assert answer.data == b""
    assert "Set-Cookie" not in answer.headers
    # Name and password of Flower, for the proxy alone.
    passed_on = "Basic Y2FyaWxsb246YS1wYXNzd29yZC1mb3ItZmxvd2Vy"
    assert answer.headers.get("X-Flower-Authorization") == (passed_on if status == 204 else None)


def test_a_stranger_is_refused_with_401_and_nothing_else(flower_app: Flask) -> None:
    answer = flower_app.test_client().get("/auth/flower")
    assert (answer.status_code, answer.data) == (401, b"")
    assert "Set-Cookie" not in answer.headers


def test_a_log_in_that_is_remembered_gets_no_new_cookie_either(flower_app: Flask) -> None:
    client = flower_app.test_client()
    make_user("pat@example.com", role="admin", password=True)
    fields = {"email": "pat@example.com", "password": PASSWORD, "remember": "y"}
    assert "Expires" in submit(client, "/login", fields).headers["Set-Cookie"]
    answer = client.get("/auth/flower")
    assert answer.status_code == 204
    assert "Set-Cookie" not in answer.headers


def test_where_flower_is_not_asked_for_there_is_no_password_and_no_link(app: Flask) -> None:
    client = log_in(app, make_user("pat@example.com", role="owner", password=True))
    assert "X-Flower-Authorization" not in client.get("/auth/flower").headers
    assert "Flower" not in client.get("/jobs").text


def test_the_jobs_page_links_to_it_in_a_new_tab(flower_app: Flask) -> None:
    client = log_in(flower_app, make_user("pat@example.com", role="admin", password=True))
    page = client.get("/jobs", headers={"Accept-Language": "en"}).text
    link = re.search(r'<a [^>]*href="https://carillon\.example\.test/tasks/flower/"[^>]*>', page)
    assert link
    assert 'target="_blank"' in link[0]
    assert 'rel="noopener"' in link[0]


def test_an_address_without_a_path_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="FLOWER_URL: expected an address with a path"):
        load_settings(environ | {"FLOWER_URL": "https://flower.example.test/"})


def test_workers_tell_of_their_tasks_only_where_flower_is_asked_for(environ: dict[str, str]) -> None:
    def tells(**more: str) -> bool:
        settings = load_settings(environ | more)
        return bool(celery_settings(settings)["worker_send_task_events"])

    assert not tells()
    assert tells(FLOWER_URL="https://carillon.example.test/flower")


def test_tasks_take_ids_only(app: Flask) -> None:
    """What a task is given can be seen in Flower, in the broker and in logs: numbers, and words of our own."""
    words = {"delivery.return_rows": {"rest"}}
    for name, task in app.extensions["celery"].tasks.items():
        if name.startswith("celery."):
            continue
        for parameter in inspect.signature(task.run).parameters.values():
            is_word = parameter.name in words.get(name, ())
            assert is_word or parameter.annotation in {"int", "int | None"}, f"{name}({parameter})"


def test_a_refused_log_in_gives_no_task_anything(app: Flask) -> None:
    user = make_user("owner@example.com", role="owner", password=True)
    assert submit(app.test_client(), "/login", {"email": user.email, "password": "wrong"}).status_code == 422
    assert [lane_length(lane) for lane in LANES] == [0, 0, 0]


@pytest.mark.timeout(120)
def test_it_sees_tasks_that_rabbitmq_carries(flower_environ: dict[str, str], start_process: Callable[..., Any]) -> None:
    try:
        socket.create_connection(("127.0.0.1", 5672), timeout=2).close()
    except OSError:
        parts.skip("no RabbitMQ answers at 127.0.0.1:5672")
    flower_environ |= {"BROKER_URL": RABBITMQ_URL, "QUEUE_PREFIX": f"flower-{os.getpid()}-"}
    url = f"http://127.0.0.1:{flower_environ['FLOWER_PORT']}/tasks/flower"
    start_process(*FLOWER)
    parts.wait_until(lambda: ask_flower(f"{url}/healthcheck")[0] == 200, what="Flower")
    start_process(*WORKER)
    application = create_app(load_settings(flower_environ))
    with application.app_context():
        send_mail.delay(7)
        try:
            seen = tasks_seen(url, "a-password-for-flower", {"mail.send_mail"})
            assert ("mail.send_mail", "(7,)", "{}") in seen
            assert hears_a_heartbeat(application)
        finally:
            with application.extensions["celery"].connection() as connection:
                connection.default_channel.queue_delete(f"{flower_environ['QUEUE_PREFIX']}mail.now")
            db.session.remove()
            db.engine.dispose()
    application.extensions["celery"].close()
    assert ask_flower(f"{url}/api/workers")[0] == 401


def hears_a_heartbeat(app: Flask) -> bool:
    """Flower takes a worker for gone whose heartbeats do not come."""
    heard: list[Any] = []
    celery = app.extensions["celery"]
    with celery.connection_for_read() as connection:
        receiver = celery.events.Receiver(connection, handlers={"worker-heartbeat": heard.append})
        for _ in receiver.consume(limit=None, timeout=parts.PATIENCE_SECONDS, wakeup=False):
            if heard:
                return True
    return False
