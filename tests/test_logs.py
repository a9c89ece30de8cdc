"""What stands in the logs: ids to find things by, and nobody's address, token or values."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.config import load_settings
from campaigns.extensions import db
from campaigns.logs import configure_logging, make_handler, task_ids
from tests.parts import ROOT, wait_until
from tests.smtp_sink import free_port

ADDRESS = "kim.lee@example.com"
TOKEN = "IjEi.aBc1dE.Zx81kQpLm2_vTtRw"


@pytest.fixture(params=["json", "text"])
def logged(request: pytest.FixtureRequest, environ: dict[str, str]) -> Iterator[Callable[[], str]]:
    """What the logs of a process hold, in each form."""
    root, hook, written = logging.getLogger(), threading.excepthook, io.StringIO()
    before = root.handlers, root.level
    configure_logging(load_settings({**environ, "LOG_FORMAT": request.param}))
    root.handlers[0].setStream(written)  # type: ignore[attr-defined]
    yield written.getvalue
    root.handlers, root.level = before
    threading.excepthook = hook


def test_addresses_and_tokens_are_taken_out_of_every_line(logged: Callable[[], str]) -> None:
    with task_ids("delivery.send_batch", "1f0e7c1e-3f50-4b3b-9f10-2b1e5a0c9d7e", (41,)):
        logging.getLogger("x").warning("no mail to %s over %s", ADDRESS, "smtp://user:hunter2@relay.example.com")
        logging.getLogger("x").warning("asked for", extra={"path": f"/p/unsubscribe/{TOKEN}"})
    lines = logged()
    for secret in (ADDRESS, "hunter2", TOKEN):
        assert secret not in lines
    assert "no mail to [address] over smtp://relay.example.com" in lines
    if lines.startswith("{"):
        first, second = map(json.loads, lines.splitlines())
        assert (first["task_id"], first["campaign_id"]) == ("1f0e7c1e-3f50-4b3b-9f10-2b1e5a0c9d7e", 41)
        assert second["path"] == "/p/unsubscribe/[token]"


def test_a_line_that_cannot_be_written_does_not_show_what_was_in_it(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make_handler(load_settings(environ))
    handler.handle(logging.LogRecord("x", logging.ERROR, "x.py", 7, "%d people", (ADDRESS,), None))
    lines = capsys.readouterr().err
    assert "x.py:7" in lines
    assert ADDRESS not in lines


def test_systemds_journal_is_told_the_level_of_every_line(environ: dict[str, str], tmp_path: Path) -> None:
    program = "from app import create_app; import logging; create_app(); logging.getLogger('x').error('two\\nlines')"
    journal = tmp_path / "journal"
    with journal.open("wb") as output:
        found = os.fstat(output.fileno())
        told = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}", "LOG_FORMAT": "text", "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=ROOT, env={**environ, **told}, stderr=output, timeout=120, check=True)
    lines = journal.read_text().splitlines()
    assert lines[0].startswith("<3>")
    assert lines[0].endswith("x two")
    assert lines[1] == "<3>lines"


def test_a_traceback_keeps_its_lines_and_loses_the_values(app: Flask, logged: Callable[[], str]) -> None:
    try:
        db.session.execute(text("SELECT name FROM nowhere WHERE email = :address"), {"address": ADDRESS})
    except SQLAlchemyError:
        logging.getLogger("x").exception("for %s", ADDRESS)
    lines = logged()
    assert ADDRESS not in lines
    assert "test_logs.py" in lines
    assert "no such table: nowhere" in lines
    if lines.startswith("{"):
        assert json.loads(lines)["message"] == "for [address]"


def test_what_ends_a_thread_is_logged_like_all_else(logged: Callable[[], str]) -> None:
    def fail() -> None:
        raise ValueError(ADDRESS)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    lines = logged()
    assert "ValueError: [address]" in lines
    assert ADDRESS not in lines


def test_the_web_server_itself_quotes_nobody(app: Flask, environ: dict[str, str]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:campaigns.ops.web_server", "app:create_app()"]
    told = {**environ, "PORT": str(port), "LOG_LEVEL": "info", "PATH": "/usr/bin:/bin"}
    server = subprocess.Popen(command, cwd=ROOT, env=told, stderr=subprocess.PIPE, start_new_session=True)
    try:
        wait_until(lambda: _answer(port, b"GET /healthz HTTP/1.0\r\n\r\n"), what="the web site")
        _answer(port, f"{ADDRESS}\r\n\r\n".encode())
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        lines = server.communicate(timeout=90)[1].decode()
    assert "Listening at" in lines
    assert "Invalid HTTP request line: '[address]'" in lines.replace('"', "'")
    assert ADDRESS not in lines


def _answer(port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(question)
            return connection.recv(200)
    except OSError:
        return b""
