"""Memory and CPU time of running processes, as the kernel counts them; None where it does not say (macOS)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Watched:
    """What was seen: the peaks of the largest process, and the CPU time of all together."""

    peak_rss_mb: float | None
    peak_pss_mb: float | None
    cpu_seconds: float | None


class Watch:
    """Looks at processes from now until `end`."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._pss: list[float] = []
        self._cpu_before = _sum_cpu(pids)
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> Watched:
        """Stop looking, and tell what was seen."""
        self._done.set()
        self._thread.join()
        after = _sum_cpu(self._pids)
        is_known = after is not None and self._cpu_before is not None
        return Watched(
            peak_rss_mb=max(_megabytes_of_all(self._pids, "status", "VmHWM"), default=None),
            peak_pss_mb=max(self._pss, default=None),
            cpu_seconds=after - self._cpu_before if is_known else None,  # type: ignore[operator]
        )

    def _look(self) -> None:
        while True:
            self._pss += _megabytes_of_all(self._pids, "smaps_rollup", "Pss")
            if self._done.wait(LOOK_SECONDS):
                return


def _megabytes_of_all(pids: Sequence[int], file: str, name: str) -> list[float]:
    known = (_megabytes(pid, file, name) for pid in pids)
    return [megabytes for megabytes in known if megabytes is not None]


def _megabytes(pid: int, file: str, name: str) -> float | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 / 1_000_000 if found else None


def _sum_cpu(pids: Sequence[int]) -> float | None:
    times = [_cpu_seconds(pid) for pid in pids]
    return None if None in times else sum(time for time in times if time is not None)


def _cpu_seconds(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # The fields after the name in brackets start with the third; user and system time are the 14th and 15th.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
