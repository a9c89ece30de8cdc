"""Whether this worker was asked to end: set by the signal, seen by every batch that is being sent.

Celery tells only a worker's main process. The flag lives in shared memory made before the pool forks, so that children
of a prefork pool see it as well as threads do.
"""

from __future__ import annotations

from multiprocessing.sharedctypes import RawValue

from celery.signals import worker_init, worker_shutting_down

_flag = RawValue("b", 0)


def is_set() -> bool:
    """Tell whether open dialogues should be finished and everything else be left to others."""
    return bool(_flag.value)


@worker_shutting_down.connect
def begin(**_: object) -> None:
    """Ask every batch of this worker to stop."""
    _flag.value = 1


@worker_init.connect
def end(**_: object) -> None:
    """Forget an earlier request; a worker has just begun."""
    _flag.value = 0
