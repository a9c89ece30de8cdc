"""The demo, as `make demo` runs it: the whole main path with every real process, and the proof that it adds up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.ops.inbox import inbox_path, recipients_after
from tests.ops.flower import ask_flower, tasks_seen
from tests.ops.running import Running
from tests.parts import ROOT, copy_sqlite, short_folder

SUM = r"2,001 recipients = 2,001 sent \+ 0 failed \+ 0 skipped \+ 0 cancelled \+ 0 uncertain \+ 0 deferred"


@pytest.fixture
def folder() -> Iterator[Path]:
    path = short_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.timeout(300)
def test_the_demo_adds_up_shows_itself_and_can_be_repeated(folder: Path) -> None:
    # A mail server in the environment is never used: the demo's mail stays on this machine.
    running = Running(folder, "--demo", "--flower", MAIL_SERVER="127.0.0.1", MAIL_PORT="1")
    try:
        running.wait_until_said("Carillon is running at", seconds=180)
        said = running.said()
        assert "100%  2,001 of 2,001" in said
        assert re.search(SUM, said)
        assert "exactly one mail for 2,001 of 2,001 recipients (0 missing, 0 doubled, 0 to somebody else)" in said
        assert re.search(r"Log in as owner@example\.com with the password \S{12}", said)
        assert "11월 소식" in running.get("/inbox")[1]
        check_flower(running.said())
        instance = running.instance / "demo"
        assert len(recipients_after(inbox_path(instance), 0)) == 2_001

        again = subprocess.run(
            [sys.executable, "-m", "flask", "demo", "--once"],
            cwd=ROOT,
            env={**running.environ, "INSTANCE_DIR": str(instance), "MAIL_SERVER": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert again.returncode == 0, again.stderr
        assert re.search(SUM, again.stdout)
        assert set(recipients_after(inbox_path(instance), 0).values()) == {2}
    finally:
        running.end()
    assert running.process.returncode == 0


def check_flower(said: str) -> None:
    """Flower is behind its password, its numbers are shut, and it has seen the campaign by its ids alone."""
    found = re.search(r"Flower is at (http://127\.0\.0\.1:\d+)(/flower)/ \(user carillon, password (\S{32})\)", said)
    assert found, said
    address, prefix, password = found.groups()
    assert ask_flower(f"{address}{prefix}/")[0] == 401
    assert ask_flower(f"{address}{prefix}/api/tasks")[0] == 401
    assert ask_flower(f"{address}{prefix}/tasks", password)[0] == 200
    for path in ("/metrics", f"{prefix}/metrics", "/"):
        assert ask_flower(f"{address}{path}", password)[0] == 404, path
    assert ask_flower(f"{address}{prefix}/api/task/send-task/ops.clean_up", password, body=b"{}")[0] == 403

    # Each worker tells of its tasks in its own time, so that the last of them may be heard of first.
    names = {f"delivery.{name}" for name in ("end_hold", "send_batch", "record_totals")}
    seen = tasks_seen(f"{address}{prefix}", password, names)
    assert [each for each in seen if not re.fullmatch(r"\W*(\d+\W*)*", each[1] + each[2])] == []


def test_the_demo_leaves_a_database_with_real_people_alone(folder: Path, sqlite_template: Path) -> None:
    url = copy_sqlite(sqlite_template, folder)
    environ = {"DATABASE_URL": url, "INSTANCE_DIR": str(folder / "i"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    environ |= {"PATH": "/usr/bin:/bin", "LOG_LEVEL": "warning"}
    flask = [sys.executable, "-m", "flask"]
    options = {"cwd": ROOT, "env": environ, "capture_output": True, "text": True, "timeout": 120, "check": False}
    made = subprocess.run([*flask, "users", "create-admin", "kim@company.test"], **options)  # type: ignore[call-overload]
    assert made.returncode == 0, made.stderr
    refused = subprocess.run([*flask, "demo"], **options)  # type: ignore[call-overload]
    assert refused.returncode == 1
    assert "holds 1 people who are not the demo's" in refused.stderr
