"""The guardian: ends the processes of a supervisor that vanished without stopping them (`kill -9`, out of memory).

It reads "+stage pid" and "-stage pid" lines from standard input, written by the supervisor. The input ends when the
supervisor is gone, however it went; then whatever is still listed is stopped, stage by stage. It is a process of its
own, not a signal asked from the kernel, so that it works on every system and reaches the children's children too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

STAGE_SECONDS = 10.0


def main() -> None:
    """Follow the supervisor's list until it ends, then stop what is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = read_list(sys.stdin)
    for stage in sorted({stage for stage, _pid in left}):
        end_groups([pid for each, pid in left if each == stage])


def read_list(lines: Iterable[str]) -> set[tuple[int, int]]:
    """Return the (stage, pid) pairs that were listed and not struck off."""
    listed: set[tuple[int, int]] = set()
    for line in lines:
        stage, pid = line[1:].split()
        pair = (int(stage), int(pid))
        if line[0] == "+":
            listed.add(pair)
        else:
            listed.discard(pair)
    return listed


def end_groups(pids: list[int]) -> None:
    """Ask these process groups to stop, and kill those that have not after ten seconds."""
    signal_groups(pids, signal.SIGTERM)
    deadline = time.monotonic() + STAGE_SECONDS
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    signal_groups(pids, signal.SIGKILL)


def signal_groups(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to every process of these groups; a group that is gone is fine."""
    for pid in pids:
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def is_alive(group: int) -> bool:
    """Tell whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group that holds only zombies
        return False
    return True


if __name__ == "__main__":
    main()
