"""What Celery's worker does not tell of by itself: a process lost under its task, and a message nobody can read.

With `task_reject_on_worker_lost` a task whose process died goes back into its queue without any signal, for ever if the
task is what kills it; and a message that cannot be decoded is only logged, with its whole body. Both become signals
here, and the body stays out of the log.

Celery's settings name these classes and nobody imports them: Sentry's SDK changes the consumer's module, and can do so
only before it is loaded.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from celery.exceptions import WorkerLostError
from celery.signals import task_rejected
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from campaigns.clock import machine_time, running_time
from campaigns.worker_signals import message_undecodable, task_worker_lost

logger = logging.getLogger(__name__)


class WatchedRequest(Request):
    """A task in the worker's hands, which says so when its process is lost.

    When it is due and when too old, a message says by the clock its machines share; Celery holds that against ours.
    """

    _eta: datetime | None
    _expires: datetime | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._eta, self._expires = _by_this_machine(self._eta), _by_this_machine(self._expires)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Tell of a lost process, then do what Celery does: put the task back into its queue."""
        lost = _lost(exc_info.exception)
        # A process that we ended ourselves to stop its task is not lost.
        was_ended = getattr(self, "_already_cancelled", False) or getattr(self, "_already_revoked", False)
        if lost is not None and not was_ended:
            task_worker_lost.send(sender=self.task, task_id=self.id, args=self.args, kwargs=self.kwargs, reason=lost)
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)


class WatchedConsumer(Consumer):
    """Takes messages from the broker, and says which it could not read."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Tell of a message that cannot be decoded and take it off the queue; its body is nobody's to read."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        known = {"message_id": str(headers.get("id") or ""), "task_name": str(headers.get("task") or "")}
        logger.error("a message of %s cannot be decoded: %s", known["task_name"] or "no task", type(exc).__name__)
        message_undecodable.send(sender=self, error=exc, **known)
        message.ack()

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Refuse a message that is not what a task's should be, as Celery does, without its body in the log."""
        logger.error("a message was refused: %s", type(exc).__name__)
        message.reject_log_error(logger, self.connection_errors)  # type: ignore[attr-defined]
        task_rejected.send(sender=self, message=message, exc=exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Refuse a message that is no task's, as Celery does, without its body in the log."""
        logger.warning("a message was refused, for it is no task's")
        message.reject_log_error(logger, self.connection_errors)  # type: ignore[attr-defined]
        task_rejected.send(sender=self, message=message, exc=None)


def _by_this_machine(moment: datetime | None) -> datetime | None:
    return moment + (machine_time() - running_time()) if moment else None


def _lost(exception: BaseException) -> str | None:
    exception = getattr(exception, "exc", exception)  # wrapped, to travel between processes
    if isinstance(exception, WorkerLostError):
        return str(exception)
    # Newer pools report the exit of the process itself.
    return f"process ended: {exception!r}" if isinstance(exception, SystemExit | KeyboardInterrupt) else None
