"""Workers and beat that ended without signing off: killed, out of memory, or their machine gone."""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.ops.failed_tasks import Failure, record_once
from campaigns.ops.failure_kinds import FailureKind
from campaigns.ops.heartbeats import Kind, all_heartbeats, forget
from campaigns.ops.models import Heartbeat

DEAD_AFTER = timedelta(seconds=60)

logger = logging.getLogger(__name__)


def note_lost_processes() -> None:
    """Keep a failure for each process that has been silent for a minute; commits.

    A process that ends as it should takes its heartbeat away. Any number of times is harmless.
    """
    earliest = utcnow() - DEAD_AFTER
    for each in all_heartbeats():
        if each.kind != Kind.TICK and each.seen_at < earliest and record_once(_death_of(each)):
            logger.error("%s ended without signing off", each.kind)


def note_predecessor(name: str) -> None:
    """Keep a failure for a process that was called as this new one is and left its heartbeat behind; commits.

    In a container that starts again the process has the host and the number of the one that died there. Its heartbeat
    would go on in the new one's name, and never be silent.
    """
    left = db.session.get(Heartbeat, name)
    if left is None:
        return
    if record_once(_death_of(left)):
        logger.error("%s ended without signing off, and was started again", left.kind)
    forget(name)


def _death_of(heartbeat: Heartbeat) -> Failure:
    begun = f"{heartbeat.name} {heartbeat.started_at.isoformat()}"
    return Failure(
        task_id="process-" + hashlib.sha256(begun.encode()).hexdigest()[:32],
        name=heartbeat.kind,
        reason="It ended without signing off: it was killed, or its machine went away.",
        kind=FailureKind.PROCESS_DIED,
        worker=heartbeat.name.rpartition(":")[0],
    )
