"""Errors to Sentry, or to anything that speaks its protocol: from the web server, workers, beat and commands.

Only when SENTRY_DSN is set; else nothing of this is even loaded. What leaves holds no addresses, tokens, bodies,
cookies, query strings or variables: whatever could carry them is dropped, and all that is left goes through `mask`.
Sending happens in a thread of its own with a short queue, so a Sentry that is slow or away costs nobody any time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import sentry_sdk
from celery import current_task
from flask import current_app, g, has_request_context, request
from sentry_sdk.crons import MonitorStatus, capture_checkin
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint

from campaigns import __version__
from campaigns.celery import ROUTES
from campaigns.config import Settings, current_settings
from campaigns.masking import mask

SHUTDOWN_SECONDS = 2.0  # how long the end of a process waits for what is still to be sent
LATE_BY_MINUTES = 15  # after how long a run that has not come is missed
LONGEST_MINUTES = 40  # after how long a run that has not ended has failed
TICK_SECONDS = 55.0
_TICK_TOLD_AT = "carillon.sentry_tick"
# What used to be `send_default_pii=False` has become a switch for each kind of data.
NOTHING: Final[Any] = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_headers": {"request": {"mode": "off"}},
    "http_bodies": [],
    "url_query_params": {"mode": "off"},
    "graphql": {"document": False, "variables": False},
    "gen_ai": {"inputs": False, "outputs": False},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
}
# Where our own code and Sentry's own numbers stand, and no words of people.
_NOT_WORDS = frozenset(
    {"event_id", "trace_id", "span_id", "parent_span_id", "timestamp", "platform", "release", "sdk", "type", "level"}
    | {"check_in_id", "filename", "abs_path", "module", "function", "task_id", "celery_task_id"}
)


class QuickTransport(HttpTransport):
    """Gives up soon on a Sentry that does not answer; the thread that waits is not ours."""

    TIMEOUT = 5  # seconds


def start_sentry(settings: Settings) -> None:
    """Send this process's errors to SENTRY_DSN, which must be set, from now on. Raises nothing."""
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        environment=settings.sentry_environment,
        release=f"carillon@{__version__}",
        transport=QuickTransport,
        shutdown_timeout=SHUTDOWN_SECONDS,
        before_send=scrub_event,
        before_breadcrumb=_scrub_breadcrumb,
        max_breadcrumbs=30,
        data_collection=NOTHING,
        max_request_body_size="never",
        include_local_variables=False,
        # The defaults would add the command line, which may name an address, and whatever libraries they find.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=_integrations(),
        auto_session_tracking=False,
        send_client_reports=False,
        enable_metrics=False,
        trace_propagation_targets=[],
    )


@contextmanager
def told_to_sentry(job: str, *, rule: str, zone: str) -> Iterator[None]:
    """Check in at Sentry that a job of the clock begins, and that it ended well or not; with SENTRY_CRONS only.

    `rule` has five fields, as clocks in `zone` show them. Sentry makes the monitor by itself, and says when a run does
    not come: that beat is gone it learns of nobody here.
    """
    if not _has_crons():
        yield
        return
    config: Any = {
        "schedule": {"type": "crontab", "value": rule},
        "timezone": zone,
        "checkin_margin": LATE_BY_MINUTES,
        "max_runtime": LONGEST_MINUTES,
    }
    with sentry_sdk.monitor(monitor_slug=_slug(job), monitor_config=config):
        yield


def tell_sentry_of_tick() -> None:
    """Check in at Sentry, once a minute, that a message of beat came through to this worker; with SENTRY_CRONS only."""
    told_at = current_app.extensions.get(_TICK_TOLD_AT, float("-inf"))
    if not _has_crons() or time.monotonic() - told_at < TICK_SECONDS:
        return
    current_app.extensions[_TICK_TOLD_AT] = time.monotonic()
    config: Any = {"schedule": {"type": "interval", "value": 1, "unit": "minute"}, "checkin_margin": 2}
    capture_checkin(monitor_slug="beat", status=MonitorStatus.OK, monitor_config=config)


def scrub_event(event: Event, _hint: Hint) -> Event:
    """Return an event with nothing of a request but its method and rule, tagged, and masked throughout.

    Should this ever raise, Sentry's SDK drops the event: nothing leaves unmasked.
    """
    for name in ("user", "extra", "modules"):
        event.pop(name, None)  # type: ignore[misc]
    if "request" in event:
        event["request"] = {"method": request.method, "url": _rule()} if has_request_context() else {}
    if "logentry" in event:
        # Celery's own lines may go on with the body of a message.
        said = str(event["logentry"].get("formatted") or event["logentry"].get("message", ""))
        event["logentry"] = {"message": said.partition("\n")[0] if _is_celerys(event) else said}
    event["tags"] = {**event.get("tags", {}), **_tags()}
    return cast("Event", _masked(dict(event)))


def _integrations() -> list[Any]:
    return [
        FlaskIntegration(transaction_style="url"),
        CeleryIntegration(propagate_traces=False, monitor_beat_tasks=False),
        SqlalchemyIntegration(),
        LoggingIntegration(),  # errors become events, the rest the trail before them
        ThreadingIntegration(),
        ExcepthookIntegration(),
        DedupeIntegration(),
        AtexitIntegration(callback=lambda _pending, _timeout: None),
    ]


def _has_crons() -> bool:
    return current_settings().sentry_crons and sentry_sdk.is_initialized()


def _slug(task: str) -> str:
    return task.replace(".", "-").replace("_", "-")


def _scrub_breadcrumb(crumb: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
    """Keep what was said or asked of the database, and nothing that came with it."""
    crumb.pop("data", None)
    if str(crumb.get("category", "")).startswith("celery."):
        crumb["message"] = str(crumb.get("message", "")).partition("\n")[0]
    return crumb


def _is_celerys(event: Event) -> bool:
    return str(event.get("logger", "")).startswith("celery.")


def _tags() -> dict[str, str]:
    tags: dict[str, Any] = {"part": _part()}
    if has_request_context():
        tags |= {"request_id": g.get("request_id"), "campaign_id": (request.view_args or {}).get("campaign_id")}
    elif current_task:
        name = str(current_task.name)
        arguments = current_task.request.args or ()
        about = arguments[0] if name.startswith("delivery.") and arguments else None
        tags |= {"task": name, "task_id": current_task.request.id, "lane": ROUTES.get(name), "campaign_id": about}
    return {name: str(value) for name, value in tags.items() if value is not None}


def _part() -> str:
    if has_request_context():
        return "web"
    return next((part for part in ("worker", "beat") if part in sys.argv[1:]), "command")


def _rule() -> str:
    """Return the request's rule instead of its path: a path can hold a token."""
    return str(request.url_rule.rule) if request.url_rule else "/"


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: each if key in _NOT_WORDS else _masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    return value
