"""The queues as the jobs page sees them when RabbitMQ is the broker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask

from app import create_app
from campaigns.celery import LANES
from campaigns.clock import utcnow
from campaigns.config import load_settings
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.mail.tasks import send_mail
from campaigns.ops.queues import BrokerAway, read_queues
from tests import parts

RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


@pytest.fixture
def rabbit_app(environ: dict[str, str]) -> Iterator[Flask]:
    try:
        socket.create_connection(("127.0.0.1", 5672), timeout=2).close()
    except OSError:
        parts.skip("no RabbitMQ answers at 127.0.0.1:5672")
    application = create_app(
        load_settings({**environ, "BROKER_URL": RABBITMQ_URL, "QUEUE_PREFIX": f"lengths-{os.getpid()}-"})
    )
    with application.app_context():
        delete_queues(application)
        yield application
        delete_queues(application)
        db.session.remove()
        db.engine.dispose()
    application.extensions["celery"].close()


def delete_queues(application: Flask) -> None:
    with application.extensions["celery"].connection() as connection:
        for lane in LANES:
            connection.default_channel.queue_delete(application.extensions["celery"].amqp.queues[lane].name)


def test_queues_that_nobody_has_declared_are_empty(rabbit_app: Flask) -> None:
    assert [(queue.lane, queue.length, queue.oldest_seconds) for queue in read_queues()] == [
        (lane, 0, None) for lane in LANES
    ]


def test_the_length_is_the_brokers_and_the_age_that_of_the_oldest_row(rabbit_app: Flask) -> None:
    mail = queue_mail(
        kind="verify",
        to_address="kim@example.com",
        language="ko",
        expires_at=utcnow() + timedelta(hours=1),
        send_after=utcnow() - timedelta(seconds=50),
    )
    db.session.commit()
    send_mail.delay(mail.id)
    queue = parts.wait_until(lambda: next((each for each in read_queues() if each.length), None))
    assert (queue.lane, queue.length) == ("mail.now", 1)
    assert 49 < queue.oldest_seconds < 49 + parts.PATIENCE_SECONDS


def test_a_broker_that_is_away_is_said(environ: dict[str, str]) -> None:
    application = create_app(load_settings({**environ, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}))
    with application.app_context(), pytest.raises(BrokerAway):
        read_queues()
