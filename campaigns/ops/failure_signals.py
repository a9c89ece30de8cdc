"""Every way in which Celery tells that a task did not end well, kept in one table and told to the admins."""

from __future__ import annotations

import logging
import socket
from typing import Any

from celery import Celery
from celery.signals import beat_init, task_failure, task_internal_error, task_rejected, task_revoked, task_unknown
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from campaigns.celery import enqueue
from campaigns.mail.tasks import send_mail
from campaigns.ops.failed_tasks import Failure, record_failure
from campaigns.ops.failure_kinds import FailureKind, kind_of_exception
from campaigns.ops.failure_notice import tell_admins_of_failures
from campaigns.worker_signals import message_undecodable, task_worker_lost

BEAT = "beat"

logger = logging.getLogger(__name__)


@task_failure.connect
@task_internal_error.connect
def _task_failed(sender: Any, task_id: str, args: Any = None, kwargs: Any = None, einfo: Any = None, **_: Any) -> None:
    exception = _exception_of(einfo)
    failure = _failure(
        sender,
        task_id,
        args,
        kwargs,
        kind=kind_of_exception(exception),
        reason=f"{type(exception).__name__}: {exception}" if exception is not None else "unknown",
        traceback=str(getattr(einfo, "traceback", "") or ""),
    )
    _keep(sender.app, failure)


@task_worker_lost.connect
def _worker_lost(sender: Any, task_id: str, args: Any, kwargs: Any, reason: str, **_: Any) -> None:
    text = f"The process ended under it; the task went back into its queue. {reason}"
    _keep(sender.app, _failure(sender, task_id, args, kwargs, kind=FailureKind.WORKER_LOST, reason=text))


@task_revoked.connect
def _task_revoked(sender: Any, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any) -> None:
    """A task whose time had passed is meant to be dropped; one that somebody ended is not."""
    if expired or request is None:
        return
    text = "It was ended while it ran." if terminated else "It was taken back before it ran."
    arguments = getattr(request, "args", None), getattr(request, "kwargs", None)
    _keep(sender.app, _failure(sender, str(request.id), *arguments, kind=FailureKind.REVOKED, reason=text))


@task_unknown.connect
def _task_unknown(sender: Any, name: str, id: str, **_: Any) -> None:
    text = "No such task: this worker runs another version."
    _keep(sender.app, Failure(id, name, reason=text, kind=FailureKind.UNKNOWN, worker=str(sender.hostname)))


@task_rejected.connect
def _message_rejected(sender: Any, message: Any = None, exc: Any = None, **_: Any) -> None:
    headers = message.headers if isinstance(getattr(message, "headers", None), dict) else {}
    # The error's own words may quote the body; its type says enough.
    text = f"{type(exc).__name__}: the message was refused." if exc is not None else "The message is no task's."
    task_id = str(headers.get("id") or f"message-{message.delivery_tag}")
    kind = FailureKind.REJECTED
    name = str(headers.get("task") or "?")
    _keep(sender.app, Failure(task_id, name, reason=text, kind=kind, worker=str(sender.hostname)))


@message_undecodable.connect
def _message_undecodable(sender: Any, message_id: str, task_name: str, error: BaseException, **_: Any) -> None:
    text = f"{type(error).__name__}: the message cannot be decoded."
    kind = FailureKind.UNDECODABLE
    task_id = message_id or f"message-{id(error)}"
    _keep(sender.app, Failure(task_id, task_name or "?", reason=text, kind=kind, worker=str(sender.hostname)))


@beat_init.connect
def _watch_beat(sender: Any, **_: Any) -> None:
    logging.getLogger("celery.beat").addHandler(_BeatCrash(sender.app))


class _BeatCrash(logging.Handler):
    """Beat says that it dies in its log only: one critical line with the exception."""

    def __init__(self, celery: Celery[Any]) -> None:
        super().__init__(logging.CRITICAL)
        self._celery = celery

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info[1] if record.exc_info else None
        text = f"{type(exception).__name__}: {exception}" if exception else record.getMessage()
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        name = f"beat-{socket.gethostname()}-{record.process}"
        kind = FailureKind.BEAT_CRASHED
        failure = Failure(name, BEAT, reason=text, traceback=trace, kind=kind, worker=socket.gethostname())
        _keep(self._celery, failure)


def _failure(task: Any, task_id: str, args: Any, kwargs: Any, **values: Any) -> Failure:
    request = getattr(task, "request", None)
    return Failure(
        task_id=task_id,
        name=task.name,
        args=list(args or ()),
        kwargs=dict(kwargs or {}),
        tries=(getattr(request, "retries", 0) or 0) + 1,
        worker=str(getattr(request, "hostname", None) or socket.gethostname()),
        **values,
    )


def _exception_of(einfo: Any) -> BaseException | None:
    exception = getattr(einfo, "exception", None)
    # Pools hand exceptions over wrapped, so that they can travel between processes.
    return getattr(exception, "exc", exception)


def _keep(celery: Celery[Any], failure: Failure) -> None:
    app: Flask | None = getattr(celery, "flask_app", None)
    if app is None:
        return
    try:
        with app.app_context():
            record_failure(failure)
            for mail_id in tell_admins_of_failures():
                enqueue(send_mail, mail_id)
    except (SQLAlchemyError, OSError):
        logger.exception("the failure of %s could not be recorded", failure.name)
