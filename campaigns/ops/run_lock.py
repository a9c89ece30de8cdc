"""The lock that keeps one installation from being started twice, and says where the running one is."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from campaigns.errors import CarillonError

WAIT_FOR_LEFTOVERS_SECONDS = 40.0


class AlreadyRunning(CarillonError):
    """Another supervisor runs this installation."""


@dataclass
class RunLock:
    """A lock on instance/running.json, held as long as its descriptor is open here or in the guardian."""

    path: Path
    descriptor: int

    def write(self, *, url: str) -> None:
        """Note who runs this installation, and where it is reached."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def release(self) -> None:
        """Let the next one start."""
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def take_lock(instance_dir: Path) -> RunLock:
    """Take the lock, or raise AlreadyRunning that says where the running one is.

    When its supervisor is gone but the processes it left are still being stopped, waits for them up to 40 s.
    """
    path = instance_dir / "running.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + WAIT_FOR_LEFTOVERS_SECONDS
    while not _try_to_lock(descriptor):
        pid, url = _holder(descriptor)
        if _is_alive(pid):
            os.close(descriptor)
            where = f" at {url}" if url else ""
            raise AlreadyRunning(f"Carillon is already running{where} (process {pid}). Stop it with: kill {pid}")
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise AlreadyRunning("Processes of an earlier start are still ending. Try again in a moment.")
        time.sleep(0.2)
    return RunLock(path, descriptor)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> tuple[int, str]:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return int(told["pid"]), str(told["url"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return True  # it holds the lock and has not yet written who it is
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
