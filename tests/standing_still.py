"""Holding processes still without keeping everybody else from the database."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from campaigns.ops.process_sockets import is_stopped
from tests.parts import wait_until


def hold_still(pids: Collection[int], database: Path) -> bool:
    """Stop processes; False, and they go on, when one of them stands in the middle of writing to that SQLite file."""
    is_held = False
    try:
        _signal(pids, signal.SIGSTOP)
        wait_until(lambda: all(is_stopped(pid) for pid in pids), what="the processes to stand still")
        is_held = _can_be_written_to(database)
    finally:
        if not is_held:
            let_go_on(pids)
    return is_held


def let_go_on(pids: Collection[int]) -> None:
    _signal(pids, signal.SIGCONT)


def _signal(pids: Collection[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # one that has ended keeps none of the others
            os.kill(pid, number)


def _can_be_written_to(database: Path) -> bool:
    if not database.exists():  # the name of a PostgreSQL database, where nobody keeps all others out
        return True
    with closing(sqlite3.connect(database, timeout=3, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True
