"""A web site that is newer than its database: it says that it waits, in every language, and goes on by itself."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from campaigns.extensions import db
from tests import parts
from tests.ops.readiness import ask_whether_ready
from tests.pages import submit
from tests.people import PASSWORD
from tests.upkeep.test_upgrade import RELEASE_NAMES, old_database  # noqa: F401 - a fixture

pytestmark = [pytest.mark.both_databases, pytest.mark.parametrize("release", RELEASE_NAMES[:1])]
PATHS = ("/", "/login", "/account", "/campaigns", "/campaigns/1/progress", "/nowhere", "/inbox")
KOREAN = {"Accept-Language": "ko"}


@pytest.fixture
def database_url(old_database: str) -> str:  # noqa: F811
    return old_database


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """The browser of somebody who has been here before the update."""
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    with client.session_transaction() as session:
        session["_user_id"] = "somebody"
    return client


@pytest.fixture
def asked(app: Flask) -> Iterator[list[str]]:
    """What the database was asked."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    event.remove(db.engine, "before_cursor_execute", note)


def upgrade(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "flask", "--app", "app", "upgrade", "--no-backup"]
    path = {"PATH": str(Path(sys.executable).parent)}
    subprocess.run(command, cwd=parts.ROOT, env={**path, **environ}, capture_output=True, check=True)


def test_every_page_says_that_the_database_waits(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, asked: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        for path in PATHS:
            page = client.get(path)
            assert (page.status_code, page.headers["Retry-After"]) == (503, "10"), path
            assert "“flask upgrade”" in page.text
            assert "Not available right now" in page.text
            assert "“flask upgrade”" in client.get(path, headers={"HX-Request": "true"}).text
        assert client.post("/login", data={"email": "ada@example.com"}).status_code == 503
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1, told
    assert told[0].startswith("waiting for `flask upgrade`: the database stands at migration 0001, and this version")
    assert [statement for statement in asked if "FROM users" in statement or "FROM campaign" in statement] == []


def test_it_is_said_in_the_persons_language(client: FlaskClient) -> None:
    assert "아직 업그레이드되지 않았습니다" in client.get("/", headers=KOREAN).text
    assert submit(client, "/login", {"language": "ko"}, action="/language").status_code == 303
    page = client.get("/").text
    assert '<html lang="ko"' in page
    assert "아직 업그레이드되지 않았습니다" in page


def test_machines_are_told_too_and_the_process_itself_is_well(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/metrics").status_code == 200
    answer = ask_whether_ready(client)
    assert answer.status_code == 503
    assert answer.json["checks"]["database"] == "waits for `flask upgrade`"


def test_it_goes_on_by_itself_and_then_asks_no_more(
    client: FlaskClient, environ: dict[str, str], asked: list[str]
) -> None:
    assert client.get("/login").status_code == 503
    upgrade(environ)
    assert submit(client, "/login", {"email": "ada@example.com", "password": PASSWORD}).status_code == 303
    assert ask_whether_ready(client).json["checks"]["database"] == "ok"
    asked.clear()
    for path in ("/", "/campaigns", "/campaigns/1/progress", "/account"):
        assert client.get(path).status_code == 200, path
    assert asked
    assert [statement for statement in asked if "alembic" in statement or "sqlite_master" in statement] == []
