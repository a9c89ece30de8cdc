"""The doctor looks at what Carillon runs on: database, Redis, broker, workers, beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import redis
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.celery import LANES
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.database_version import database_revision, known_revisions
from campaigns.delivery.copy_guard import is_held
from campaigns.extensions import db
from campaigns.findings import Finding, bad, good, note, warn
from campaigns.ops.heartbeats import SILENT_AFTER, Kind, has_our_key, host_of
from campaigns.ops.models import Heartbeat
from campaigns.ops.queues import BrokerAway, check_command, ping_broker, redis_client

OLDEST_POSTGRES = 130_000  # as server_version_num
OLDEST_REDIS = (6, 2)


def check_database() -> Iterator[Finding]:
    """Look whether the database answers, is up to date, and keeps what it has confirmed."""
    try:
        yield _check_version()
        yield _check_migrations()
        yield from _check_durability()
        if is_held():
            url = f"{current_settings().public_base_url}/copied-database"
            yield bad("database", "nothing is sent: it looks like a copy or a restored backup", f"Look at {url}")
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield bad("database", f"cannot be used: {reason}", "Check DATABASE_URL, and that the server runs.")
    finally:
        db.session.rollback()


def _check_version() -> Finding:
    if db.engine.dialect.name == "sqlite":
        return good("database", f"SQLite {db.session.scalar(text('SELECT sqlite_version()'))}")
    number = int(db.session.scalar(text("SELECT current_setting('server_version_num')")) or 0)
    words = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number < OLDEST_POSTGRES:
        return bad("database", words, "Update to PostgreSQL 13 or newer.")
    return good("database", words)


def _check_migrations() -> Finding:
    stands, newest = database_revision(), known_revisions()[-1]
    if stands == newest:
        return good("migrations", f"up to date ({stands})")
    if stands and stands not in known_revisions():
        return bad("migrations", f"at {stands}, which this version does not know", "Update the program.")
    return bad("migrations", f"at {stands or 'none'}; this version needs {newest}", "Run: flask upgrade")


def _check_durability() -> Iterator[Finding]:
    """Nothing is sent before its claim is written down, and that must be true of the disk as well."""
    if db.engine.dialect.name == "sqlite":
        mode = db.session.scalar(text("PRAGMA journal_mode"))
        if mode != "wal":
            yield warn("durability", f"SQLite's journal is {mode}", "Use a file on a local disk, where WAL works.")
        return
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if db.session.scalar(text(f"SELECT current_setting('{name}')")) == "off":
            yield bad("durability", f"{name} is off", f"Set {name} = on: a crash would forget what was sent.")
            return
    yield good("durability", "what is committed is on the disk")


def check_redis() -> Iterator[Finding]:
    """Look whether Redis answers, is new enough, and keeps what it is given."""
    settings = current_settings()
    try:
        with redis_client(settings.redis_url) as client:
            info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        yield bad("redis", f"cannot be reached: {error}", "Check REDIS_URL, and that the server runs.")
        return
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    name = "Valkey" if "valkey_version" in info else "Redis"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield bad("redis", f"{name} {version}", "Update to 6.2 or newer.")
    else:
        yield good("redis", f"{name} {version}")
    yield from _check_redis_keeps(info, is_broker=settings.broker_url == settings.redis_url)


def _check_redis_keeps(info: dict[str, Any], *, is_broker: bool) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        yield bad("redis memory", f"it drops keys when full ({policy})", "Set maxmemory-policy noeviction.")
    elif (most := int(info.get("maxmemory", 0))) and int(info["used_memory"]) > 0.8 * most:
        yield warn("redis memory", f"{int(info['used_memory']) * 100 // most} % are used", "Raise maxmemory.")
    else:
        yield good("redis memory", "it drops nothing when full")
    if not info.get("aof_enabled") and is_broker:
        advice = "Set appendonly yes. Nothing is lost without it, but work waits until it is found again."
        yield warn("redis disk", "messages are gone after a restart", advice)


def check_broker() -> Iterator[Finding]:
    """Look whether the broker answers."""
    settings = current_settings()
    kind = "RabbitMQ" if settings.broker_url.startswith("amqp") else "Redis"
    try:
        ping_broker(settings)
    except BrokerAway as error:
        advice = f"Check BROKER_URL, and that it runs: {check_command(settings)}"
        yield bad("broker", f"{kind} cannot be reached ({error})", advice)
    else:
        yield good("broker", f"{kind} answers; lanes begin with {settings.queue_prefix or 'no prefix'}")


def check_processes() -> Iterator[Finding]:
    """Look for a worker of each lane, and for exactly one beat whose ticks arrive."""
    recently = Heartbeat.seen_at > utcnow() - SILENT_AFTER
    try:
        fresh = list(db.session.scalars(select(Heartbeat).where(recently)))
    except SQLAlchemyError:
        return
    finally:
        db.session.rollback()
    lanes = [lane for each in fresh if each.kind == Kind.WORKER for lane in each.lanes.split(",")]
    for lane in LANES:
        yield _check_lane(lane, lanes.count(lane))
    yield from _check_beat([each.kind for each in fresh])
    yield from _check_keys([each for each in fresh if each.kind == Kind.WORKER])


def _check_lane(lane: str, workers: int) -> Finding:
    if workers:
        return good(f"lane {lane}", f"{workers} worker{'s' if workers > 1 else ''}")
    command = f"python -m celery_worker worker -Q {lane}"
    return bad(f"lane {lane}", "no worker has given a sign of life for half a minute", f"Start one: {command}")


def _check_keys(workers: Sequence[Heartbeat]) -> Iterator[Finding]:
    if hosts := sorted({host_of(each) for each in workers if not has_our_key(each)}):
        words = f"processes on {', '.join(hosts)} sign with another one: links in the mails they send do not work"
        yield bad("secret key", words, "Give every machine the same SECRET_KEY, and start its processes again.")


def _check_beat(kinds: list[str]) -> Iterator[Finding]:
    beats = kinds.count(Kind.BEAT)
    if not beats:
        yield bad("beat", "does not run", "Start it: python -m celery_worker beat")
    elif beats > 1:
        yield note("beat", f"{beats} run at once", "That does no harm, but one is enough.")
    elif Kind.TICK not in kinds:
        yield bad("beat", "runs, but its ticks reach no worker", "Look at the broker and the worker of the lane work.")
    else:
        yield good("beat", "runs, and its ticks arrive")
