"""Loaded into a worker (`-I tests.drill.dying`): it kills itself once, at the moment that DIE_WHEN names."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, before_task_publish
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from campaigns.celery import SturdyRedisBackend

count_part = SturdyRedisBackend.on_chord_part_return
published = count(1)
claims: list[str] = []


def die_once(moment: str) -> None:
    """Die if this is the moment, the first time in an experiment; "disk lost" after it takes the journals along."""
    wanted = os.environ.get("DIE_WHEN", "")
    if wanted.removesuffix(", disk lost") != moment:
        return
    folder = Path(os.environ["INSTANCE_DIR"])
    try:
        (folder / "died").touch(exist_ok=False)
    except FileExistsError:
        return
    if wanted.endswith(", disk lost"):
        for journal in folder.rglob("*.journal"):
            journal.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def count_part_or_die(self: Any, *args: Any, **kwargs: Any) -> Any:
    die_once("before a part is counted")
    answer = count_part(self, *args, **kwargs)
    die_once("after a part is counted")
    return answer


SturdyRedisBackend.on_chord_part_return = count_part_or_die


@after_task_publish.connect(sender="delivery.send_batch")
def after_batch(**_: Any) -> None:
    if next(published) == 2:
        die_once("half way through the publishing")


@before_task_publish.connect(sender="delivery.record_totals")
def before_totals(**_: Any) -> None:
    die_once("before the callback is published")


@after_task_publish.connect(sender="delivery.record_totals")
def after_totals(**_: Any) -> None:
    die_once("after the callback is published")


@event.listens_for(Engine, "before_cursor_execute")
def before_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith("INSERT INTO batch"):
        die_once("half way through the freeze")
    if statement.startswith("UPDATE occurrence"):
        die_once("between the copy and its launch")
    if statement.startswith("UPDATE delivery SET state = 'sent'"):
        die_once("before answers are written down")
    if statement.lstrip().startswith("UPDATE delivery SET state = 'sending'"):
        claims.append(statement)


@event.listens_for(Session, "after_commit")
def after_commit(_session: Session) -> None:
    if len(claims) == 2:
        die_once("between two windows")
