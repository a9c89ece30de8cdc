"""Somebody forgot the password, and chooses a new one with a mailed link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts import sign_up as services
from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.sign_up import LinkNotReady
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from tests.accounts.links import link_in
from tests.pages import submit, without_secrets
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink

RunQueued = Callable[..., list[str]]
NEW = "quite another password"
pytestmark = pytest.mark.usefixtures("owner")


@pytest.fixture
def person(app: Flask) -> User:
    return make_user("Dana@example.com", password=True)


@pytest.fixture
def reset_path(client: FlaskClient, person: User, sink: Sink, run_queued: RunQueued) -> str:
    """The link that was mailed."""
    assert submit(client, "/password/forgot", {"email": "dana@EXAMPLE.com"}).status_code == 303
    run_queued()
    # The mail goes to the address as its person wrote it, whatever was typed.
    return link_in(sink.to("Dana@example.com")[0].text, "/password/reset")


@pytest.mark.both_databases
def test_a_new_password_is_set_with_the_mailed_link(
    client: FlaskClient, reset_path: str, sink: Sink, run_queued: RunQueued
) -> None:
    response = submit(client, reset_path, {"password": NEW})
    assert (response.status_code, response.location) == (303, "/login")
    assert submit(client, "/login", {"email": "dana@example.com", "password": PASSWORD}).status_code == 422
    assert submit(client, "/login", {"email": "dana@example.com", "password": NEW}).status_code == 303
    run_queued()
    notice = sink.to("Dana@example.com")[-1]
    assert "password was changed" in notice.message["Subject"]


def test_it_does_not_log_in_and_ends_every_log_in(
    client: FlaskClient, person: User, reset_path: str, logged_in: Callable[..., FlaskClient]
) -> None:
    phone, desk = logged_in(person), logged_in(person)
    submit(client, reset_path, {"password": NEW})
    for browser in (client, phone, desk):
        assert browser.get("/account").location.startswith("/login")
    assert db.session.execute(select(LoginSession)).first() is None


def test_opening_the_link_changes_nothing(client: FlaskClient, reset_path: str) -> None:
    for _ in range(5):
        assert client.get(reset_path).status_code == 200
    assert submit(client, "/login", {"email": "dana@example.com", "password": PASSWORD}).status_code == 303


def test_the_link_works_once(client: FlaskClient, reset_path: str) -> None:
    submit(client, reset_path, {"password": NEW})
    page = client.get(reset_path)
    assert page.status_code == 200
    assert "has been used" in page.text
    assert 'name="password"' not in page.text


@pytest.mark.both_databases
def test_two_at_once_use_the_link_once(app: Flask, reset_path: str) -> None:
    token = reset_path.rpartition("/")[2]
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def use(number: int) -> None:
        with app.app_context(), app.test_request_context():
            start.wait()
            try:
                services.reset_password(token, f"quite another password {number}")
                outcomes.append("set")
            except LinkNotReady:
                outcomes.append("refused")
            finally:
                db.session.remove()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "set"]


def test_the_link_expires_after_half_an_hour(client: FlaskClient, reset_path: str) -> None:
    with freeze(utcnow() + timedelta(minutes=31)):
        page = client.get(reset_path)
        assert page.status_code == 410
        assert "expired" in page.text


def test_a_password_that_is_refused_leaves_the_link_as_it_is(client: FlaskClient, reset_path: str) -> None:
    assert submit(client, reset_path, {"password": "short"}).status_code == 422
    assert submit(client, reset_path, {"password": "dana-dana-dana"}).status_code == 422
    assert submit(client, reset_path, {"password": NEW}).status_code == 303


def test_a_reset_proves_the_address(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    make_user("late@example.com", password=True, verified=False)
    submit(client, "/password/forgot", {"email": "late@example.com"})
    run_queued()
    submit(client, link_in(sink.to("late@example.com")[0].text, "/password/reset"), {"password": NEW})
    assert submit(client, "/login", {"email": "late@example.com", "password": NEW}).status_code == 303


def test_an_unknown_address_gets_the_same_answer_and_no_mail(
    client: FlaskClient, person: User, sink: Sink, run_queued: RunQueued
) -> None:
    pages = {}
    for address in ("dana@example.com", "none@example.com"):
        response = submit(client, "/password/forgot", {"email": address}, follow_redirects=True)
        pages[address] = without_secrets(response.text.replace(address, ""))
    assert len(set(pages.values())) == 1
    run_queued()
    assert [mail.recipient for mail in sink.mails] == ["Dana@example.com"]
    # One row for each, so that the work in the request is the same too.
    assert len(db.session.execute(select(OutboxMail)).all()) == 2


def test_mails_to_one_address_are_limited_and_the_page_says_until_when(client: FlaskClient) -> None:
    for _ in range(3):
        assert submit(client, "/password/forgot", {"email": "dana@example.com"}).status_code == 303
    response = submit(client, "/password/forgot", {"email": "DANA@example.com"})
    assert response.status_code == 429
    assert 3000 < int(response.headers["Retry-After"]) <= 3600
    assert "try again in 1 hour" in response.text
    assert submit(client, "/password/forgot", {"email": "other@example.com"}).status_code == 303


def test_links_carry_the_public_address_whatever_host_was_asked(
    client: FlaskClient, person: User, sink: Sink, run_queued: RunQueued
) -> None:
    page = client.get("/password/forgot", headers={"Host": "evil.example.org"})
    assert page.status_code == 400
    submit(client, "/password/forgot", {"email": "dana@example.com"}, headers={"X-Forwarded-Host": "evil.example.org"})
    run_queued()
    (mail,) = sink.to("Dana@example.com")
    assert b"evil" not in mail.content
    assert "http://carillon.example.test/password/reset/" in mail.text
