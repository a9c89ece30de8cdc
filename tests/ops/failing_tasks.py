"""Tasks that fail, for a worker started with `-I tests.ops.failing_tasks`."""

import os
import signal
import time
from pathlib import Path

from celery import shared_task

from campaigns.clock import utcnow

SECRETS = (
    "kim@example.com refused; link https://x.example.com/password/reset/IjEi.aBc1dE.Zx81kQpLm2_vTtRw; password=hunter2"
)


@shared_task(name="tests.fail")
def fail(number: int) -> None:
    raise ValueError(f"number {number} is no good")


@shared_task(name="tests.fail_with_secrets")
def fail_with_secrets(number: int) -> None:
    raise ValueError(SECRETS)


@shared_task(name="tests.take_long", soft_time_limit=1, time_limit=60)
def take_long() -> None:
    time.sleep(60)


@shared_task(name="tests.take_too_long", soft_time_limit=1, time_limit=2)
def take_too_long() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            time.sleep(30)
        except Exception:  # as a task does that hears nothing
            continue


@shared_task(name="tests.die_once")
def die_once(path: str) -> None:
    """Kill the process under the task the first time; end well the second."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(path).write_text("done")


@shared_task(name="tests.wait_for")
def wait_for(path: str) -> str:
    """Run until a file appears."""
    while not Path(path).exists():
        time.sleep(0.05)
    return utcnow().isoformat()
