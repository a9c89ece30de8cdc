"""Signs of life: each worker process and beat writes a row every ten seconds, whatever else is broken."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

from flask import Flask
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.link_macs import is_our_mac, link_mac
from campaigns.ops.models import Heartbeat

INTERVAL_SECONDS = 10.0
SILENT_AFTER = timedelta(seconds=35)  # three missed, and a little for a busy machine
FORGOTTEN_AFTER = timedelta(minutes=10)
MOST_RUNNING = 50
PURPOSE = "heartbeat"

logger = logging.getLogger(__name__)


class Kind:
    """What a heartbeat is of."""

    WORKER = "worker"
    BEAT = "beat"
    TICK = "tick"  # written by a task that beat enqueues: proves the way from beat through the broker to a worker


@dataclass(frozen=True)
class RunningTask:
    """One task in a worker's hands; its arguments are ids, `since` is in seconds since 1970."""

    task_id: str
    name: str
    args: tuple[Any, ...]
    since: float

    @property
    def started_at(self) -> datetime:
        """Return since when it runs."""
        return datetime.fromtimestamp(self.since, UTC)


@dataclass(frozen=True)
class Activity:
    """What a worker process is doing: tasks running now, the oldest first, and tasks taken since it started."""

    active: int = 0
    processed: int = 0
    running: tuple[RunningTask, ...] = ()


@dataclass
class Pulse:
    """The heartbeat of this process: a daemon thread that writes one row, and outlives the database being away."""

    app: Flask
    kind: str
    lanes: str
    activity: Callable[[], Activity] = Activity
    look_around: Callable[[], None] | None = None  # what else to do at every beat
    begin: Callable[[str], None] | None = None  # what to do with the row's name before the first beat
    started_at: datetime = field(default_factory=utcnow)
    _stopped: Event = field(default_factory=Event)
    _thread: Thread | None = None

    @property
    def name(self) -> str:
        """Return what the row is called: host, process and lanes."""
        return f"{socket.gethostname()[:60]}:{os.getpid()}:{self.lanes or self.kind}"[:160]

    def start(self) -> None:
        """Begin to beat."""
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and take the row away: a process that ended as it should is not missed."""
        self._stopped.set()
        if self._thread:
            self._thread.join(timeout=5)
        self._in_context(lambda: forget(self.name))

    def _beat(self) -> None:
        beaten_at = utcnow()
        while not self._stopped.is_set():
            self._in_context(self._write)
            # After a machine's sleep everybody looks silent, until each has beaten once.
            if self.look_around and utcnow() - beaten_at < SILENT_AFTER:
                self._in_context(self.look_around)
            beaten_at = utcnow()
            self._stopped.wait(INTERVAL_SECONDS)

    def _write(self) -> None:
        if self.begin:
            self.begin(self.name)
            self.begin = None
        now = self.activity()
        record_heartbeat(self.name, kind=self.kind, lanes=self.lanes, started_at=self.started_at, activity=now)

    def _in_context(self, action: Callable[[], None]) -> None:
        try:
            with self.app.app_context():
                action()
        except (SQLAlchemyError, OSError) as error:
            logger.warning("heartbeat of %s could not be written: %s", self.name, type(error).__name__)


def record_heartbeat(
    name: str, *, kind: str, lanes: str = "", started_at: datetime | None = None, activity: Activity | None = None
) -> None:
    """Write that a process was seen now; commits. Any number of times is harmless."""
    doing = activity or Activity()
    signed = link_mac(PURPOSE, current_settings().secret_key, name.encode()).hex()
    running = {"tasks": [asdict(task) for task in doing.running[:MOST_RUNNING]], "signed": signed}
    seen = {"seen_at": utcnow(), "active": doing.active, "processed": doing.processed, "running": running}
    changed = db.session.execute(update(Heartbeat).where(Heartbeat.name == name).values(seen))
    if not changed.rowcount:  # type: ignore[attr-defined]
        db.session.add(Heartbeat(name=name, kind=kind, lanes=lanes, started_at=started_at or utcnow(), **seen))
    try:
        db.session.commit()
    except IntegrityError:  # somebody else has just written it, which is as good
        db.session.rollback()


def forget(name: str) -> None:
    """Remove a process that has ended; commits."""
    db.session.execute(delete(Heartbeat).where(Heartbeat.name == name))
    db.session.commit()


def forget_lost_processes() -> None:
    """Remove processes that have not been seen for ten minutes; commits."""
    lost = (Heartbeat.seen_at < utcnow() - FORGOTTEN_AFTER) & (Heartbeat.kind != Kind.TICK)
    db.session.execute(delete(Heartbeat).where(lost))
    db.session.commit()


def all_heartbeats() -> list[Heartbeat]:
    """Return every process that has been seen lately, workers by lane first."""
    return list(db.session.execute(select(Heartbeat).order_by(Heartbeat.lanes, Heartbeat.name)).scalars())


def running_tasks(heartbeat: Heartbeat) -> list[RunningTask]:
    """Return what a worker process ran when it was last seen, the oldest first."""
    tasks = (heartbeat.running or {}).get("tasks", [])
    return [RunningTask(each["task_id"], each["name"], tuple(each["args"]), each["since"]) for each in tasks]


def has_our_key(heartbeat: Heartbeat) -> bool:
    """Tell whether a process signs links with a key that this one accepts; one that does not say is believed."""
    signed = (heartbeat.running or {}).get("signed")
    return signed is None or is_our_mac(PURPOSE, bytes.fromhex(signed), heartbeat.name.encode())


def host_of(heartbeat: Heartbeat) -> str:
    """Return the name of the machine it runs on."""
    return heartbeat.name.partition(":")[0]


def is_fresh(heartbeat: Heartbeat) -> bool:
    """Tell whether a process has been seen in the last three intervals."""
    return utcnow() - heartbeat.seen_at < SILENT_AFTER
