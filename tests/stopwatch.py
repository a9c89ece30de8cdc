"""How long something takes, whatever else the machine is doing."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter


class Stopwatch:
    """Counts from when it is made, leaving out the time in which this thread was ready and no processor was free."""

    def __init__(self) -> None:
        self._began, self._stood_before = perf_counter(), _seconds_in_line()

    @property
    def seconds(self) -> float:
        return perf_counter() - self._began - (_seconds_in_line() - self._stood_before)


def _seconds_in_line() -> float:
    """Return how long this thread has stood in line for a processor, 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0
