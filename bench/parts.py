"""What every measure runs on: processes that end with it, a mail sink, Redis, and folders that go away."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from campaigns.config import Settings
from campaigns.ops.embedded_redis import answers
from campaigns.ops.processes import RECEIVING, ROOT, STORING, ProcessPlan, storing_processes
from campaigns.ops.run_folder import make_private_folder
from campaigns.ops.supervisor import Supervisor, last_lines

SINK_CONNECTIONS: Final = 256
# Nothing else is taken from the caller's environment: a measure must not meet anybody's real database or mail server.
KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class BenchError(Exception):
    """A measure cannot be made; the message says why, and what to do."""


def own_environment(**values: str) -> dict[str, str]:
    """Return an environment with nothing of the caller's settings in it."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **values}


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder on the disk that `make run` uses, and remove it at the end."""
    (ROOT / "instance").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "instance"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Processes:
    """Processes of one measure; all are ended with it, also when the measuring process is killed."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.supervisor = Supervisor(environ, lambda _: None)
        self._logs: list[Path] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def start(self, plan: ProcessPlan) -> None:
        """Start one process; its output goes to a file in the folder."""
        log_path = self.folder / "logs" / f"{plan.name}.log"
        self._logs.append(log_path)
        self.supervisor.start(plan, log_path)

    def wait_for(self, condition: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Wait until the condition holds. Raises BenchError with the ends of the logs when it never does."""
        if not self.supervisor.wait_for(condition, seconds=seconds):
            logs = "\n".join(f"--- {path.name}\n{last_lines(path, 8)}" for path in self._logs)
            raise BenchError(f"waited {seconds:.0f} s in vain for {what}\n{logs}")

    def pids(self, prefix: str) -> list[int]:
        """Return the process ids of those whose name starts so."""
        children = self.supervisor.children
        return [child.process.pid for child in children if child.process and child.plan.name.startswith(prefix)]


class Sink:
    """Postfix's smtp-sink: takes mail as fast as it can, throws it away, and counts."""

    def __init__(self, processes: Processes) -> None:
        """Start it. Raises BenchError when it is not installed."""
        self.port = free_port()
        self._log_path = processes.folder / "logs" / "sink.log"
        processes.start(ProcessPlan("sink", [*sink_command(), f"127.0.0.1:{self.port}", "256"], RECEIVING))
        processes.wait_for(lambda: is_listening(self.port), seconds=10, what="smtp-sink")

    def count(self) -> int:
        """Return how many mails it has taken so far."""
        with self._log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 200))
            # One line for ever, each count after a carriage return; the last may be half written.
            shown = [part for part in log.read().split(b"\r") if b"mesg=" in part]
        return int(shown[-1].rpartition(b"mesg=")[2]) if shown else 0

    def wait_for_count(self, expected: int, *, seconds: float) -> int:
        """Wait until it has taken as many as expected; return how many it has taken then, or when the time was up."""
        deadline = time.monotonic() + seconds
        while (count := self.count()) < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        return count


def sink_command() -> list[str]:
    """Return the command of smtp-sink without its address. Raises BenchError when it is not installed."""
    binary = find_postfix_tool("smtp-sink")
    if binary is None:
        raise BenchError("smtp-sink is missing. It is part of Postfix: sudo apt-get install postfix")
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    return [binary, *as_nobody, "-c", "-m", str(SINK_CONNECTIONS)]


def find_postfix_tool(name: str) -> str | None:
    """Return the path of one of Postfix's tools, which are not always on a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def start_redis(processes: Processes, settings: Settings) -> None:
    """Start the embedded Redis server just as `make run` does."""
    make_private_folder(settings.run_dir)
    socket_path = settings.embedded_redis
    assert socket_path
    for plan in storing_processes(settings):
        assert plan.stage == STORING
        processes.start(plan)
    processes.wait_for(lambda: answers(socket_path), seconds=30, what="Redis")


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Tell whether somebody answers on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
