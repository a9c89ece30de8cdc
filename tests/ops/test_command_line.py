"""The command line as operators' scripts use it: JSON alone on standard output, failures as exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from campaigns.accounts.models import User
from campaigns.extensions import db
from tests.parts import ROOT
from tests.people import make_users
from tests.smtp_sink import Sink

TERMS = [
    "id", "state", "candidates", "excluded", "recipients", "sent", "failed", "skipped", "cancelled", "uncertain",
    "deferred", "sending", "waiting",
]  # fmt: skip


@pytest.fixture
def run(app: Any, environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def start(*arguments: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=ROOT,
            input=stdin,
            env={**os.environ, **environ, "LANG": "C.UTF-8", **extra},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return start


@pytest.fixture
def here(app: Flask) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command within this process, for what needs no process of its own."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        result = app.test_cli_runner().invoke(args=list(arguments))
        return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)

    return start


@pytest.fixture
def body(tmp_path: Path) -> str:
    path = tmp_path / "body.md"
    path.write_text('안녕하세요, {{ name | default: "회원" }}님.\n\n**Hello**', encoding="utf-8")
    return str(path)


def test_help_is_there_for_every_command(here: Callable[..., Any]) -> None:
    for command in (["users", "import"], ["users", "create-admin"], ["campaigns", "send"], ["campaigns", "status"]):
        answer = here(*command, "--help")
        assert answer.returncode == 0
        assert answer.stdout.startswith("Usage:")


def test_an_administrator_is_made_with_a_link_to_choose_a_password(here: Callable[..., Any]) -> None:
    answer = here("users", "create-admin", "Ada@Example.com")
    assert answer.returncode == 0, answer.stderr
    assert "http://carillon.example.test/" in answer.stdout
    ada = db.session.query(User).one()
    assert (ada.email, ada.role) == ("Ada@example.com", "owner")


def test_an_address_that_is_none_is_refused(here: Callable[..., Any]) -> None:
    answer = here("users", "create-admin", "not an address")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "'not an address' is no address that mail can be sent to" in answer.stderr


def test_an_import_answers_with_what_became_of_each_row(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,name,language\nkim@example.com,김하늘,ko\nlee@example.com,Lee,en\nno address,x,ko\n")
    answer = run("users", "import", str(path), "--json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["added"], told["bad"]) == (2, 1)
    again = json.loads(run("users", "import", str(path), "--json").stdout)
    assert (again["added"], again["unchanged"]) == (0, 2)


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_an_import_reads_standard_input(run: Callable[..., Any], path: str) -> None:
    answer = run("users", "import", path, "--json", stdin="email,name\nkim@example.com,김하늘\n")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["added"] == 1


def test_a_file_that_is_not_there_is_refused(here: Callable[..., Any]) -> None:
    answer = here("users", "import", "/nowhere/people.csv", "--json")
    assert answer.returncode != 0
    assert answer.stdout == ""
    assert "/nowhere/people.csv" in answer.stderr


def test_send_and_wait_ends_when_all_is_sent(
    run: Callable[..., Any], body: str, start_process: Callable[..., Any], sink: Sink
) -> None:
    make_users(25)
    worker = start_process("celery_worker", "worker", "-P", "threads", "-c", "4")
    answer = run("campaigns", "send", "--subject", "소식", "--body", body, "--no-hold", "--wait", "--json")
    worker.send_signal(signal.SIGTERM)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert list(told) == TERMS
    assert told["state"] == "sent"
    assert (told["candidates"], told["recipients"], told["sent"]) == (25, 25, 25)
    assert "25 of 25" in answer.stderr
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 25

    status = run("campaigns", "status", str(told["id"]), "--json")
    assert (status.returncode, json.loads(status.stdout)) == (0, told)


def test_send_without_waiting_says_that_no_worker_runs(run: Callable[..., Any], body: str) -> None:
    make_users(2)
    answer = run("campaigns", "send", "--subject", "Hello", "--body", body, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["state"] == "starting"
    assert "No worker has reported lately for mail.now, mail.bulk, work" in answer.stderr


def test_a_wrong_merge_field_is_refused_with_a_suggestion(run: Callable[..., Any], body: str) -> None:
    answer = run("campaigns", "send", "--subject", "Hello {{ nmae }}", "--body", body, "--json")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "name" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_body_that_is_not_utf_8_is_refused(here: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "body.md"
    path.write_bytes("안녕하세요".encode("cp949"))
    answer = here("campaigns", "send", "--subject", "Hello", "--body", str(path))
    assert answer.returncode == 1
    assert "is not UTF-8 text" in answer.stderr


def test_the_status_of_no_campaign_is_a_failure(here: Callable[..., Any]) -> None:
    answer = here("campaigns", "status", "99", "--json")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "there is no campaign 99" in answer.stderr


def test_a_database_that_is_away_is_one_line(run: Callable[..., Any]) -> None:
    answer = run("campaigns", "status", "1", "--json", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "The database cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_link_to_set_up_is_printed_until_somebody_has(run: Callable[..., Any]) -> None:
    assert "http://carillon.example.test/setup?token=" in run("setup-link").stdout
    run("users", "create-admin", "ada@example.com")
    assert run("setup-link").stdout == ""
