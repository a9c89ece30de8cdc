"""Whether everything that a site needs is there: asked all at once, answered within two seconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from campaigns.celery import LANES
from campaigns.config import current_settings
from campaigns.database_version import lacking_revision
from campaigns.ops.heartbeats import Kind, all_heartbeats, is_fresh
from campaigns.ops.queues import BrokerAway, RedisState, ping_broker, redis_state

OK = "ok"
LONGEST_WAIT_SECONDS = 2.0


def check_everything(app: Flask) -> dict[str, str]:
    """Return "ok" or why not for the database, Redis, the broker, a worker of each lane, and beat.

    The reasons name no address and no error's text: anybody may ask.
    """
    executor = ThreadPoolExecutor(max_workers=4, thread_name_prefix="readyz")
    asked = {check: executor.submit(_in_context, app, check) for check in CHECKS}
    wait(asked.values(), timeout=LONGEST_WAIT_SECONDS)
    executor.shutdown(wait=False, cancel_futures=True)
    found: dict[str, str] = {}
    for check, future in asked.items():
        found |= _answer(future) or dict.fromkeys(CHECKS[check], "no answer within 2 seconds")
    return found


def check_database() -> dict[str, str]:
    """Ask the database where it stands."""
    try:
        is_behind = lacking_revision() is not None
    except SQLAlchemyError:
        return {"database": "cannot be reached"}
    return {"database": "waits for `flask upgrade`" if is_behind else OK}


def check_redis() -> dict[str, str]:
    """Ask Redis for a sign of life, and whether it takes anything."""
    words = {RedisState.AWAY: "cannot be reached", RedisState.FULL: "is full", RedisState.OK: OK}
    return {"redis": words[redis_state(current_settings().redis_url)]}


def check_broker() -> dict[str, str]:
    """Ask the broker for a sign of life."""
    try:
        ping_broker(current_settings())
    except BrokerAway:
        return {"broker": "cannot be reached"}
    return {"broker": OK}


def check_processes() -> dict[str, str]:
    """Look for a fresh heartbeat of a worker of each lane, and of beat."""
    try:
        fresh = [heartbeat for heartbeat in all_heartbeats() if is_fresh(heartbeat)]
    except SQLAlchemyError:
        return dict.fromkeys(_PROCESSES, "not known: the database cannot be asked")
    lanes = {lane for each in fresh if each.kind == Kind.WORKER for lane in each.lanes.split(",")}
    found = {f"worker {lane}": OK if lane in lanes else "no worker of this lane reports" for lane in LANES}
    has_beat = any(each.kind == Kind.BEAT for each in fresh)
    return found | {"beat": OK if has_beat else "beat does not report"}


def _in_context(app: Flask, check: Callable[[], dict[str, str]]) -> dict[str, str]:
    with app.app_context():
        return check()


def _answer(future: Future[dict[str, str]]) -> dict[str, str] | None:
    return future.result() if future.done() and not future.cancelled() and not future.exception() else None


_PROCESSES = [*(f"worker {lane}" for lane in LANES), "beat"]
CHECKS: dict[Callable[[], dict[str, str]], list[str]] = {
    check_database: ["database"],
    check_redis: ["redis"],
    check_broker: ["broker"],
    check_processes: _PROCESSES,
}
