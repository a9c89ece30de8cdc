"""What workers and beat count: how long their tasks run, and that they are there."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutdown,
)

from campaigns.config import Settings
from campaigns.metrics import TASK_SECONDS, begin_process
from campaigns.ops.metrics_server import MetricsServer

OUTCOMES = {"SUCCESS": "success", "RETRY": "retry"}
FAILURE = "failure"

_began: dict[str, float] = {}  # by task id; pools run several tasks at once
_name = ["worker"]  # what this process is called; a pool's processes take it over from the one that made them
_servers: list[MetricsServer] = []


@worker_init.connect
def _worker_begins(sender: Any, **_: Any) -> None:
    queues = sender.app.amqp.queues.consume_from
    _name[:] = [",".join(sorted(queue.alias or name for name, queue in queues.items()))]
    begin_process(_name[0])


@worker_process_init.connect
def _pool_process_begins(**_: Any) -> None:
    begin_process(_name[0])


@worker_ready.connect
def _worker_is_ready(sender: Any, **_: Any) -> None:
    _serve(sender.app)


@beat_init.connect
def _beat_begins(sender: Any, **_: Any) -> None:
    begin_process("beat")
    _serve(sender.app)


@worker_shutdown.connect
def _worker_ends(**_: Any) -> None:
    while _servers:
        _servers.pop().stop()


@task_prerun.connect
def _task_begins(task_id: str, **_: Any) -> None:
    _began[task_id] = time.monotonic()


@task_postrun.connect
def _task_ends(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        TASK_SECONDS.labels(task.name, OUTCOMES.get(state or "", FAILURE)).observe(time.monotonic() - began)


def _serve(celery: Celery[Any]) -> None:
    app = getattr(celery, "flask_app", None)
    if app is not None:
        settings: Settings = app.extensions["carillon.settings"]
        _servers.append(MetricsServer(app, settings))
        _servers[-1].start()
