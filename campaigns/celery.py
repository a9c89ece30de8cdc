"""Celery set up: the lanes, the task class, and settings that keep chords and connections alive.

The reasons for the settings are experiments, not taste: a Redis broker loses messages when a worker is killed, a chord
can lose its callback, a result-keeping publish hangs for 19 seconds when Redis is away. So every message can be made
again from a row, tasks keep no results of their own, and the database alone says what is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from celery import Celery, Task
from celery import current_app as current_celery
from celery.backends.redis import RedisBackend
from flask import Flask
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from campaigns.clock import running_time
from campaigns.config import Settings
from campaigns.logs import task_ids
from campaigns.redis_transport import use_sturdy_transport
from campaigns.stored_settings import refresh_settings

NOW = "mail.now"  # verification, reset, test and notice mails: single tasks, never behind a campaign
BULK = "mail.bulk"  # batches of a campaign
WORK = "work"  # freezes, imports and periodic jobs, with time limits
LANES = (NOW, BULK, WORK)

# Which lane a task runs in, by the name of the task; a test holds that every task is listed.
ROUTES: dict[str, str] = {
    "mail.send_mail": NOW,
    "delivery.send_batch": BULK,
    "delivery.record_totals": BULK,
    "delivery.end_hold": WORK,
    "delivery.freeze_campaign": WORK,
    "delivery.publish_round": WORK,
    "delivery.cancel_rest": WORK,
    "delivery.return_rows": WORK,
    "delivery.launch_due": WORK,
    "delivery.repeat_due": WORK,
    "delivery.reconcile": WORK,
    "mail.sweep_outbox": WORK,
    "accounts.record_refusals": WORK,
    "audience.check_import": WORK,
    "audience.save_import": WORK,
    "audience.report_import": WORK,
    "audience.resume_imports": WORK,
    "audience.count_users": WORK,
    "audit.seal": WORK,
    "audit.check": WORK,
    "reports.send_digests": WORK,
    "settings.run_check": NOW,
    "settings.resume_checks": WORK,
    "ops.beat_tick": WORK,
    "ops.start_due_jobs": WORK,
    "ops.clean_up": WORK,
    "ops.check_ledgers": WORK,
}

logger = logging.getLogger(__name__)


class SturdyRedisBackend(RedisBackend):
    """The Redis result backend, counting a chord's parts through the retry it uses for everything else.

    In Celery 5.7 that one call is made without it, so a chord whose part ends while Redis restarts is never completed.
    The counting script is idempotent, so calling it again is harmless.
    """

    def on_chord_part_return(self, request: Any, state: Any, result: Any, *_: Any, **__: Any) -> Any:
        """Count one finished part of a chord, however long Redis needs to come back (up to the retry policy).

        A part that cannot be counted is let go: an exception from here would leave its message unacknowledged, and a
        worker whose every slot is taken by such messages works no more. The sweep finds the round that is finished.
        """
        try:
            return self.ensure(super().on_chord_part_return, (request, state, result))
        except (OperationalError, RedisError, OSError) as error:
            logger.error("a finished part of a chord was not counted, the sweep will see: %s", error)


class SiteCelery(Celery):
    """A Celery application that goes by the clock its machines share, when it says when a message is due or too old."""

    def now(self) -> datetime:
        """Return the present moment."""
        return running_time().astimezone(self.timezone)


def enqueue(task: Any, *arguments: Any, **options: Any) -> bool:
    """Publish a task; tells whether the broker took it. Never raises for a broker that is away.

    What is enqueued here has a row behind it, and a periodic task that finds the row: a page need not fail because
    the queue is down.
    """
    try:
        task.apply_async(arguments, **options) if options else task.delay(*arguments)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("%s%s could not be enqueued and waits for the sweep: %s", task.name, arguments, error)
        return False
    return True


def lane_length(lane: str) -> int | None:
    """Return how many messages wait in a lane, or None when the broker cannot be asked."""
    return lane_lengths(lane).get(lane)


def lane_lengths(*lanes: str) -> dict[str, int]:
    """Return how many messages wait in each of these lanes, over one connection; none when the broker is away."""
    try:
        with current_celery.connection_for_read() as connection:
            return dict(_count_messages(connection, lanes))
    except (OperationalError, RedisError, OSError):
        return {}


def queue_name(lane: str) -> str:
    """Return what a lane's queue is called at the broker."""
    return str(current_celery.amqp.queues[lane].name)


def make_celery(app: Flask, settings: Settings) -> Celery[Any]:
    """Return the Celery application whose tasks run inside `app`'s context."""

    class FlaskTask(Task):  # type: ignore[type-arg]
        """Runs in an application context of its own, with its ids in every log line."""

        Request = "campaigns.watched_worker:WatchedRequest"

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context(), task_ids(self.name, self.request.id, args):
                refresh_settings()
                return self.run(*args, **kwargs)

    use_sturdy_transport()
    celery = SiteCelery("carillon", task_cls=FlaskTask, set_as_current=True)
    celery.config_from_object(celery_settings(settings))
    celery.set_default()
    celery.flask_app = app  # type: ignore[attr-defined]  # for signal receivers, which are handed the Celery app
    app.extensions["celery"] = celery
    return celery


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration; the reasons stand beside what would surprise."""
    return {
        **_task_settings(settings),
        **_worker_settings(settings),
        **_broker_settings(settings),
        **_result_settings(settings),
    }


def kombu_url(url: str, *, database: int | None = None) -> str:
    """Return a Redis address as kombu writes it; a Unix socket is `redis+socket://` there."""
    if url.startswith("unix:"):
        path, _, query = url.removeprefix("unix://").partition("?")
        given = query.removeprefix("db=") or "0"
        return f"redis+socket://{path}?virtual_host={given if database is None else database}"
    if database is None or url.startswith("amqp"):
        return url
    base, _, path = url.partition("://")
    host, _, given = path.partition("/")
    return f"{base}://{host}/{given or database}"


def _task_settings(settings: Settings) -> dict[str, Any]:
    """Return which queues there are, what goes into them, and when a task counts as done."""
    return {
        "task_queues": _queues(settings),
        "task_default_queue": WORK,
        "task_routes": {name: {"queue": lane} for name, lane in ROUTES.items()},
        "task_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "enable_utc": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_track_started": False,
    }


def _worker_settings(settings: Settings) -> dict[str, Any]:
    """Return how workers and beat behave."""
    return {
        "worker_send_task_events": bool(settings.flower_url),  # nobody else listens
        "worker_prefetch_multiplier": 1,
        "worker_consumer": "campaigns.watched_worker:WatchedConsumer",
        # To each worker belongs a queue named after it; workers of two sites may have the same name, and on RabbitMQ
        # the second of them then never begins.
        "control_exchange": f"{settings.queue_prefix}celery",
        "event_exchange": f"{settings.queue_prefix}celeryev",
        "event_queue_prefix": f"{settings.queue_prefix}celeryev",
        # True loses running tasks when their results are on the same Redis that restarted.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # True skips a chord's part without counting it, and the chord hangs.
        "worker_deduplicate_successful_tasks": False,
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": 60,
        "worker_enable_soft_shutdown_on_idle": True,
        "beat_scheduler": "celery.beat:Scheduler",  # in memory: no file to corrupt, no lock to outlive a crash
        "beat_max_loop_interval": 5,
    }


def _broker_settings(settings: Settings) -> dict[str, Any]:
    """Return how the broker is reached, and for how long it is tried."""
    return {
        "broker_url": kombu_url(settings.broker_url),
        "broker_connection_retry_on_startup": True,
        # The default gives up after about 45 minutes and the worker exits.
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": 10,
        "task_publish_retry_policy": _publish_retry_policy(settings.broker_url),
        "broker_transport_options": _transport_options(settings.broker_url),
    }


def _result_settings(settings: Settings) -> dict[str, Any]:
    """Return how results and the chords' counts are kept."""
    return {
        "result_backend": _result_backend(settings.redis_url),
        "result_backend_transport_options": {
            "retry_policy": {"max_retries": 120, "interval_start": 0, "interval_max": 1}
        },
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": not settings.redis_url.startswith("unix:"),
        "redis_backend_health_check_interval": 30,
        "result_expires": 86_400,
        # A campaign may be paused for days between two parts of its chord.
        "result_chord_expires": 14 * 86_400,
    }


def _count_messages(connection: Any, lanes: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Ask the broker; a queue that has not been declared yet holds nothing, and the question closes the channel."""
    channel = connection.channel()
    for lane in lanes:
        try:
            yield lane, int(channel.queue_declare(queue_name(lane), passive=True).message_count)
        except connection.channel_errors:
            channel = connection.channel()
            yield lane, 0


def _result_backend(redis_url: str) -> str:
    # Behind the name of a class, a backend's address must not say "redis+" once more.
    return "campaigns.celery.SturdyRedisBackend+" + kombu_url(redis_url, database=1).removeprefix("redis+")


def _queues(settings: Settings) -> list[Queue]:
    """Return one queue for each lane, which is its alias; on a shared broker its own name begins with the prefix."""
    names = {lane: settings.queue_prefix + lane for lane in LANES}
    if not settings.broker_url.startswith("amqp"):
        return [Queue(n, Exchange(n, type="direct"), routing_key=n, alias=lane) for lane, n in names.items()]
    # Delayed delivery on quorum queues works through a topic exchange only; elsewhere a countdown longer than the
    # consumer timeout makes RabbitMQ close the channel. 20 redeliveries are its default; a batch counts its own tries.
    exchange = Exchange(settings.queue_prefix + "carillon", type="topic")
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 100}
    return [Queue(n, exchange, routing_key=n, queue_arguments=arguments, alias=lane) for lane, n in names.items()]


def _publish_retry_policy(broker_url: str) -> dict[str, Any]:
    """Return how often a publish is tried again, while a page waits for it.

    A Redis that hangs costs its timeout at every try: with two retries a sign-up took 40 seconds. Its client reconnects
    a socket that was closed by itself; RabbitMQ's does not.
    """
    retries = 2 if broker_url.startswith("amqp") else 0
    return {"max_retries": retries, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    options = {
        "visibility_timeout": 900,  # far above a batch's budget: what takes longer would be run twice
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 25,
    }
    return options if broker_url.startswith("unix:") else options | {"socket_keepalive": True}
