"""Logs: one JSON object a line, with the ids of the request, the task and the campaign it is about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, request
from pythonjsonlogger.json import JsonFormatter

from campaigns.config import Settings

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
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(IdFilter())
    handler.setFormatter(_formatter(settings.log_format))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    # An address in a log is personal data: the client libraries' chatter below warning stays out.
    for noisy in ("mail.log", "aiosmtpd", "kombu", "flask_limiter"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


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


def _formatter(kind: str) -> logging.Formatter:
    if kind == "json":
        return JsonFormatter(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            json_ensure_ascii=False,
        )
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
