"""The first visit makes the owner and the site."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.accounts.setup import setup_token
from campaigns.config import Settings
from campaigns.extensions import db
from campaigns.site import Site
from tests.pages import submit
from tests.people import PASSWORD, make_user

DETAILS = {
    "email": "Owner@Example.com",
    "password": PASSWORD,
    "name": "오너",
    "site_name": "월간 소식",
    "language": "ko",
    "timezone": "Asia/Seoul",
    "sender_name": "월간 소식 편집부",
    "sender_address": "news@example.com",
    "postal_address": "서울시 중구 세종대로 110",
}


@pytest.fixture
def token(app: Flask, settings: Settings) -> str:
    return setup_token(settings.instance_dir)


@pytest.mark.both_databases
def test_the_first_visit_leads_through_the_set_up_and_ends_logged_in(client: FlaskClient, token: str) -> None:
    page = client.get("/", follow_redirects=True)
    assert page.request.path == "/setup"
    response = submit(client, f"/setup?token={token}", DETAILS)
    assert (response.status_code, response.location) == (303, "/")
    assert client.get("/").status_code == 200
    owner = db.session.execute(select(User)).scalar_one()
    assert (owner.email, owner.role, owner.name, owner.can_log_in) == ("Owner@example.com", "owner", "오너", True)
    site = db.session.execute(select(Site)).scalar_one()
    assert (site.name, site.sender_address, site.signups_open) == ("월간 소식", "news@example.com", True)


def test_it_is_gone_afterwards(client: FlaskClient, token: str, settings: Settings) -> None:
    submit(client, f"/setup?token={token}", DETAILS)
    assert client.get(f"/setup?token={token}").status_code == 404
    assert not (settings.instance_dir / "setup_token").exists()
    assert client.get("/login").status_code == 303


def test_it_is_gone_once_an_admin_was_made_on_the_command_line(client: FlaskClient, token: str) -> None:
    make_user("admin@example.com", role="admin", password=True)
    assert client.get(f"/setup?token={token}").status_code == 404
    assert client.get("/login").status_code == 200


@pytest.mark.parametrize("wrong", ["", "guess", "x" * 32])
def test_nobody_gets_in_without_the_code(client: FlaskClient, token: str, wrong: str) -> None:
    response = submit(client, f"/setup?token={wrong}", DETAILS)
    assert response.status_code == 422
    assert db.session.execute(select(User)).first() is None
    assert "오너" in response.text


def test_guessing_the_code_is_slowed_down(client: FlaskClient) -> None:
    codes = [submit(client, "/setup?token=guess", DETAILS).status_code for _ in range(6)]
    assert codes == [422] * 5 + [429]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("password", "short"),
        ("password", "password-2026"),
        ("site_name", ""),
        ("sender_address", "news"),
        ("sender_address", "news@example.com\nBcc: x@example.com"),
        ("timezone", "Mars/Base"),
        ("language", "xx"),
        ("site_name", "a\x00b"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_made(
    client: FlaskClient, token: str, field: str, value: str
) -> None:
    response = submit(client, f"/setup?token={token}", {**DETAILS, field: value})
    assert response.status_code == 422
    assert db.session.execute(select(User)).first() is None
    assert db.session.execute(select(Site)).first() is None


def test_line_breaks_in_a_name_do_not_reach_a_header(client: FlaskClient, token: str) -> None:
    submit(client, f"/setup?token={token}", {**DETAILS, "sender_name": "News\r\nBcc: all@example.com"})
    site = db.session.execute(select(Site)).scalar_one()
    assert site.sender_name == "News Bcc: all@example.com"


def test_the_code_is_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(setup_token(tmp_path / "new"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) >= 32
    assert (tmp_path / "new" / "setup_token").stat().st_mode & 0o077 == 0


def test_an_imported_person_may_become_the_owner(client: FlaskClient, token: str) -> None:
    make_user("owner@example.com", verified=False)
    assert submit(client, f"/setup?token={token}", DETAILS).status_code == 303
    owner = db.session.execute(select(User)).scalar_one()
    db.session.refresh(owner)
    assert (owner.role, owner.can_log_in) == ("owner", True)
