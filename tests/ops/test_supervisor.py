"""The supervisor as a person meets it: one command starts everything, and nothing is left when it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ops.running import Running
from tests.parts import ROOT, short_folder, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    path = short_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("these tests find processes in /proc, which this system does not have")
    supervisor = Running(folder)
    yield supervisor
    supervisor.end()


@pytest.mark.timeout(240)
def test_everything_starts_is_watched_over_and_stops_together(running: Running) -> None:
    running.wait_until_said("Carillon is running at", seconds=90)
    wait_until(lambda: running.ready()["ready"], what="a busy machine to answer in time")
    running.wait_until_said("/setup?token=", seconds=20)

    second = subprocess.run(
        [sys.executable, "-m", "campaigns.ops.up"],
        cwd=ROOT, env=running.environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"Carillon is already running at http://127.0.0.1:{running.port} (process {running.process.pid})" in (
        second.stderr
    )

    (lost,) = running.find("-Q mail.now")
    os.kill(lost, signal.SIGKILL)
    running.wait_until_said("mail.now ended (killed by SIGKILL); starting it again in 1 s.", seconds=20)
    wait_until(lambda: running.find("-Q mail.now") not in ([], [lost]))

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=90) == 0
    assert "Stopped after" in running.said()
    assert running.processes() == {}
    assert "Traceback" not in running.said()
    logs = {path.name for path in (running.instance / "logs").iterdir()}
    assert {"web.log", "redis.log", "mail.now.log", "work.log", "beat.log", "catcher.log"} <= logs


@pytest.mark.timeout(240)
def test_no_process_outlives_a_supervisor_that_was_killed(running: Running) -> None:
    running.wait_until_said("Carillon is running at", seconds=90)
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not running.processes(), what=f"the end of {running.processes()}")

    again = Running(running.instance.parent, PORT=str(running.port))
    try:
        again.wait_until_said("Carillon is running at", seconds=90)
    finally:
        again.end()
    assert again.process.returncode == 0


def test_a_port_that_was_asked_for_and_is_taken_is_said(folder: Path, sink: Any) -> None:
    supervisor = Running(folder, PORT=str(sink.port))
    assert supervisor.process.wait(timeout=90) == 1
    assert f"PORT: another program listens on port {sink.port} already" in supervisor.said()
    assert "Traceback" not in supervisor.said()


def test_a_database_that_cannot_be_prepared_ends_the_start_with_its_reason(folder: Path) -> None:
    supervisor = Running(folder, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert supervisor.process.wait(timeout=90) == 1
    assert "The database could not be prepared." in supervisor.said()
    assert re.search(r"connection .*refused|Connection refused", supervisor.said())
    assert "Traceback" not in supervisor.said()
    wait_until(lambda: not supervisor.processes())
