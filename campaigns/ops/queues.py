"""The lanes' queues: how many messages wait, and for how long the oldest has.

On Redis both are read from the list itself; RabbitMQ tells only a length, so there the age is that of the oldest row
of the database that a message must exist for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from flask import current_app
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import func, select

from campaigns.audience.models import ImportState, UserImport
from campaigns.celery import BULK, LANES, NOW, WORK, queue_name
from campaigns.clock import running_time, utcnow
from campaigns.config import Settings, current_settings
from campaigns.delivery.models import Round
from campaigns.errors import TemporaryError
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.ops.signals import PUBLISHED_AT

ANSWER_SECONDS = 1.5


class BrokerAway(TemporaryError):
    """The broker did not answer in time."""


class RedisState(StrEnum):
    """What a Redis is good for now."""

    OK = "ok"
    FULL = "full"
    AWAY = "away"


@dataclass(frozen=True)
class QueueState:
    """One lane's queue; the age is None when nothing waits, or when it is not known."""

    lane: str
    length: int
    oldest_seconds: float | None


def read_queues() -> list[QueueState]:
    """Return the state of every lane's queue; raises BrokerAway within about two seconds."""
    settings = current_settings()
    if settings.broker_url.startswith("amqp"):
        return _read_rabbitmq(current_app.extensions["celery"])
    return _read_redis(settings)


def redis_client(url: str) -> redis.Redis:
    """Return a client that gives up soon; a page waits for it."""
    return redis.Redis.from_url(
        plain_redis_url(url),
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def plain_redis_url(url: str) -> str:
    """Return an address of Redis as its own client writes it, also when it was given in kombu's way."""
    if not url.startswith("redis+socket://"):
        return url
    path, _, query = url.removeprefix("redis+socket://").partition("?")
    return f"unix://{path}?db={query.removeprefix('virtual_host=') or '0'}"


def ping_broker(settings: Settings) -> None:
    """Return when the broker answers; raises BrokerAway."""
    if settings.broker_url.startswith("amqp"):
        with _rabbitmq_connection(current_app.extensions["celery"]):
            return
    try:
        with redis_client(settings.broker_url) as client:
            client.ping()
    except redis.RedisError as error:
        raise BrokerAway(type(error).__name__) from error


def redis_state(redis_url: str) -> RedisState:
    """Return whether a Redis answers, and takes what it is given: it is asked to write something of no meaning."""
    try:
        with redis_client(redis_url) as client:
            client.set("carillon/probe", 1, ex=60)
    except redis.OutOfMemoryError:
        return RedisState.FULL
    except redis.RedisError:
        return RedisState.AWAY
    return RedisState.OK


def check_command(settings: Settings) -> str:
    """Return the command that shows whether the broker lives; never with a password in it."""
    if settings.embedded_redis and settings.broker_url == settings.redis_url:
        return f"tail {settings.instance_dir / 'logs' / 'redis.log'}"
    if settings.broker_url.startswith("amqp"):
        return "rabbitmq-diagnostics ping"
    url = plain_redis_url(settings.broker_url)
    if url.startswith("unix://"):
        return f"redis-cli -s {url.removeprefix('unix://').partition('?')[0]} ping"
    scheme, _, rest = url.partition("://")
    return f"redis-cli -u {scheme}://{rest.rpartition('@')[2]} ping"


def _read_redis(settings: Settings) -> list[QueueState]:
    try:
        with redis_client(settings.broker_url) as client:
            pipeline = client.pipeline(transaction=False)
            for lane in LANES:
                pipeline.llen(queue_name(lane))
                pipeline.lindex(queue_name(lane), -1)  # messages are pushed on the left and taken from the right
            answers = pipeline.execute()
    except redis.RedisError as error:
        raise BrokerAway(type(error).__name__) from error
    return [QueueState(lane, int(answers[2 * n]), _age(answers[2 * n + 1])) for n, lane in enumerate(LANES)]


def _age(message: bytes | None) -> float | None:
    if not message:
        return None
    try:
        published_at = float(json.loads(message)["headers"][PUBLISHED_AT])
    except (ValueError, KeyError, TypeError):
        return None
    return max(0.0, running_time().timestamp() - published_at)


def _read_rabbitmq(celery: Celery) -> list[QueueState]:
    ages = _ages_by_rows()
    with _rabbitmq_connection(celery) as connection:
        lengths = {lane: _length(connection, lane) for lane in LANES}
    return [QueueState(lane, length, ages[lane] if length else None) for lane, length in lengths.items()]


def _length(connection: Any, lane: str) -> int:
    # Asking for a queue that nobody has declared yet closes the channel, so each has its own.
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue=queue_name(lane), passive=True).message_count)
        except NotFound:
            return 0


@contextmanager
def _rabbitmq_connection(celery: Celery) -> Iterator[Any]:
    """Open a connection of its own that gives up soon; raises BrokerAway, also for what fails within."""
    connection = celery.connection_for_read(connect_timeout=ANSWER_SECONDS)
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        yield connection
    except (OperationalError, OSError, AMQPError) as error:
        raise BrokerAway(type(error).__name__) from error
    finally:
        connection.release()


def _ages_by_rows() -> dict[str, float | None]:
    now = utcnow()
    waiting_mail = (OutboxMail.state == OutboxState.WAITING) & (OutboxMail.next_attempt_at <= now)
    oldest = {
        NOW: select(func.min(OutboxMail.next_attempt_at)).where(waiting_mail),
        BULK: select(func.min(Round.started_at)).where(Round.closed_at.is_(None)),
        WORK: select(func.min(UserImport.touched_at)).where(UserImport.state == ImportState.WAITING),
    }
    found = {lane: db.session.execute(query).scalar_one_or_none() for lane, query in oldest.items()}
    return {lane: max(0.0, (now - since).total_seconds()) if since else None for lane, since in found.items()}
