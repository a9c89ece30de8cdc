"""What one installation consists of: its processes, how each is started, and in which order they stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns.celery import BULK, NOW, WORK
from campaigns.config import Settings
from campaigns.ops.embedded_redis import redis_arguments

ROOT = Path(__file__).resolve().parent.parent.parent

# Processes of a lower stage are stopped first: nobody loses what they still need to finish their work.
WORKING, RECEIVING, STORING = range(3)


@dataclass(frozen=True)
class ProcessPlan:
    """One process: its name in logs and messages, its command line, and when it is stopped."""

    name: str
    arguments: Sequence[str]
    stage: int = WORKING

    def log_path(self, settings: Settings) -> Path:
        """Return the file that its output goes to."""
        return settings.instance_dir / "logs" / f"{self.name}.log"


def storing_processes(settings: Settings) -> list[ProcessPlan]:
    """Return what must answer before the database is prepared: the embedded Redis server, when it is used."""
    if settings.embedded_redis is None:
        return []
    return [ProcessPlan("redis", redis_arguments(settings), STORING)]


def working_processes(settings: Settings) -> list[ProcessPlan]:
    """Return the web site, the workers of every lane, beat, Flower if asked for, and in trial mode the mail catcher."""
    plans = [
        ProcessPlan("web", _module("gunicorn", "--config", "python:campaigns.ops.web_server", "app:create_app()")),
        _worker("mail.now", NOW, pool="threads", concurrency=4),
        *(_bulk_worker(number, settings) for number in range(1, _bulk_processes() + 1)),
        _worker("work", WORK, pool="prefork", concurrency=2),
        ProcessPlan("beat", _module("celery_worker", "beat")),
    ]
    if settings.flower_url:
        plans.append(ProcessPlan("flower", flower_arguments()))
    if settings.trial_mode:
        plans.insert(0, ProcessPlan("catcher", _module("campaigns.ops.catcher"), RECEIVING))
    return plans


def flower_arguments() -> list[str]:
    """Return the command line of Flower, whose settings are made of ours in `flower_server.py`."""
    return _module("celery", "-A", "celery_worker", "flower", "--conf=campaigns/ops/flower_server.py")


def child_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every process: the given one, and what was decided at the start."""
    flower = {"FLOWER_URL": settings.flower_url, "FLOWER_PORT": str(settings.flower_port)}
    return {
        **environ,
        **(flower if settings.flower_url else {}),
        "INSTANCE_DIR": str(settings.instance_dir),
        "PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH", "")])),
    }


def _worker(name: str, lane: str, *, pool: str, concurrency: int) -> ProcessPlan:
    arguments = ["-Q", lane, "-P", pool, "-c", str(concurrency), "-n", f"{name}@%h"]
    return ProcessPlan(name, _module("celery_worker", "worker", *arguments))


def _bulk_worker(number: int, settings: Settings) -> ProcessPlan:
    """Return one sending process; each of its threads sends a batch over connections of its own."""
    return _worker(f"mail.bulk-{number}", BULK, pool="threads", concurrency=settings.bulk_threads)


def _bulk_processes() -> int:
    """Building mail is bound by the interpreter lock, so a second core takes a second process."""
    return min(2, os.cpu_count() or 1)


def _module(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]
