"""Loaded into a worker (`-I tests.drill.dying`): it kills itself once, at the moment that DIE_WHEN names."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, before_task_publish
from sqlalchemy import event
from sqlalchemy.engine import Engine

from campaigns.celery import SturdyRedisBackend

count_part = SturdyRedisBackend.on_chord_part_return


def die_once(moment: str) -> None:
    if os.environ.get("DIE_WHEN") != moment:
        return
    try:
        (Path(os.environ["INSTANCE_DIR"]) / "died").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def count_part_or_die(self: Any, *args: Any, **kwargs: Any) -> Any:
    die_once("before a part is counted")
    return count_part(self, *args, **kwargs)


SturdyRedisBackend.on_chord_part_return = count_part_or_die


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
