"""Logs: one JSON object a line, with the ids of the request, the task and the campaign it is about.

Every line goes through `mask`: libraries, tracebacks and paths of links quote addresses and tokens, and logs are copied
to places that nobody thinks of when a person asks to be forgotten.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, request
from pythonjsonlogger.json import JsonFormatter

from campaigns.config import Settings
from campaigns.masking import mask

_JOURNAL_LEVELS = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_NO_IDS: dict[str, Any] = {}
_ids: ContextVar[dict[str, Any]] = ContextVar("log_ids", default=_NO_IDS)


class IdFilter(logging.Filter):
    """Puts the ids of the current request, task and campaign on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; keep every record."""
        for name, value in _ids.get().items():
            setattr(record, name, value)
        return True


def configure_logging(settings: Settings) -> None:
    """Send all logs to standard error in the configured form; standard output stays free for a command's answer."""
    root = logging.getLogger()
    root.handlers = [make_handler(settings)]
    root.setLevel(settings.log_level.upper())
    # An address in a log is personal data: the client libraries' chatter below warning stays out.
    threading.excepthook = _log_end_of_thread
    for noisy in ("mail.log", "aiosmtpd", "kombu", "flask_limiter", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def make_handler(settings: Settings) -> logging.Handler:
    """Return what writes lines to standard error, each with its ids and masked."""
    handler = _JournalHandler(sys.stderr) if _goes_to_journal() else _QuietHandler(sys.stderr)
    handler.addFilter(IdFilter())
    handler.setFormatter(_formatter(settings.log_format))
    return handler


def register_request_ids(app: Flask) -> None:
    """Give every request an id, in the logs and in the X-Request-ID header of the answer."""

    @app.before_request
    def begin() -> None:
        g.request_id = uuid4().hex[:16]
        g.log_ids_token = _ids.set({"request_id": g.request_id, "path": request.path})

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id", "")
        return response


@contextmanager
def task_ids(name: str, task_id: str | None, arguments: Sequence[Any]) -> Iterator[None]:
    """Put a task's name, id and first argument on every log line within."""
    ids = {"task": name, "task_id": task_id}
    if arguments and name.startswith("delivery."):
        ids["campaign_id"] = arguments[0]
    token = _ids.set(ids)
    try:
        yield
    finally:
        _ids.reset(token)


class _QuietHandler(logging.StreamHandler):  # type: ignore[type-arg]
    def handleError(self, record: logging.LogRecord) -> None:
        """Say where a line was lost; Python would print all that was to be in it."""
        sys.stderr.write(f"a line of the log was lost: {record.pathname}:{record.lineno}\n")


class _JournalHandler(_QuietHandler):
    """Puts the level in front of every line, where systemd's journal looks for it: see sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        level = next((each for least, each in _JOURNAL_LEVELS.items() if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


class _MaskedText(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _MaskedJson(JsonFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Mask value by value: a pattern that runs to a line's end must not run out of its value."""
        return {name: mask(value) if isinstance(value, str) else value for name, value in log_data.items()}


def _goes_to_journal() -> bool:
    """Tell whether standard error is the journal: JOURNAL_STREAM names device and file of what systemd opened."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Log what ended a thread; Python would print it as it is."""
    if ended.exc_value is not None:
        about = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger(__name__).error("a thread ended by an error", exc_info=about)


def _formatter(kind: str) -> logging.Formatter:
    if kind == "json":
        return _MaskedJson(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            json_ensure_ascii=False,
        )
    return _MaskedText("%(asctime)s %(levelname)s %(name)s %(message)s")
