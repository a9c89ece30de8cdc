"""Another address for an account: confirmed in its mailbox, told to the old one, and telling nobody who exists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.accounts.queries import find_user
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from tests.accounts.links import link_in
from tests.pages import submit
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink

LoggedIn = Callable[..., FlaskClient]
RunQueued = Callable[..., list[str]]
OLD, NEW = "dana@example.com", "Dana.New@example.org"
pytestmark = pytest.mark.usefixtures("owner")


@pytest.fixture
def person(app: Flask) -> User:
    return make_user(OLD, password=True, name="Dana", language="en")


@pytest.fixture
def ask(sink: Sink, run_queued: RunQueued) -> Callable[[FlaskClient, str], str]:
    """Ask for another address; returns the text of the newest mail to it."""

    def send(client: FlaskClient, address: str) -> str:
        response = submit(client, "/account/address", {"email": address, "password": PASSWORD})
        assert response.location == "/account"
        assert f"A mail is on its way to {address}" in client.get("/account").text
        run_queued()
        return str(sink.mails[-1].message.get_body(("plain",)).get_content())

    return send


def address_of(user: User) -> str:
    db.session.expire_all()
    return db.session.get_one(User, user.id).email


def test_the_address_changes_with_the_press_and_the_old_one_is_told(
    person: User,
    logged_in: LoggedIn,
    client: FlaskClient,
    ask: Callable[[FlaskClient, str], str],
    sink: Sink,
    run_queued: RunQueued,
) -> None:
    theirs = logged_in(person)
    link = link_in(ask(theirs, NEW), "/account/address")
    for _ in range(3):
        assert NEW in client.get(link).text
    assert address_of(person) == OLD
    assert submit(client, link, {}, action="").location == "/login"
    assert address_of(person) == NEW
    assert theirs.get("/account").status_code == 200
    run_queued()
    told = sink.to(OLD)[-1].message
    assert "another address" in told["Subject"]
    assert "D***@example.org" in told.get_body(("plain",)).get_content()
    assert "Already confirmed" in client.get(link).text
    assert submit(client, "/login", {"email": OLD, "password": PASSWORD}).status_code == 422
    assert submit(client, "/login", {"email": NEW, "password": PASSWORD}).status_code == 303
    entry = db.session.query(AuditEntry).filter_by(action="user.address_changed").one()
    assert OLD not in str([entry.before, entry.after, entry.actor, entry.target])


def test_an_address_that_somebody_has_gets_the_same_answer_and_only_its_mailbox_learns_more(
    person: User, logged_in: LoggedIn, ask: Callable[[FlaskClient, str], str], sink: Sink
) -> None:
    make_user("Taken@example.com", password=True, language="en")
    text = ask(logged_in(person), "taken@example.com")
    assert "has an account already" in text
    assert "/account/address/" not in text
    assert [mail.recipient for mail in sink.mails] == ["Taken@example.com"]
    assert address_of(person) == OLD


def test_an_address_taken_meanwhile_stays_with_whom_it_is(
    person: User, logged_in: LoggedIn, client: FlaskClient, ask: Callable[[FlaskClient, str], str]
) -> None:
    link = link_in(ask(logged_in(person), NEW), "/account/address")
    other = make_user(NEW)
    assert submit(client, link, {}, action="").status_code == 410
    assert address_of(person) == OLD
    found = find_user(NEW.lower())
    assert found
    assert found.id == other.id


@pytest.mark.parametrize(
    ("email", "password", "words"),
    [
        (NEW, "wrong password", "not your current password"),
        (OLD.upper(), PASSWORD, "the address of your account already"),
        ("no address", PASSWORD, "like name@example.com"),
        (NEW, "", "Enter your password"),
    ],
)
def test_it_needs_the_password_and_another_address(
    person: User, logged_in: LoggedIn, sink: Sink, run_queued: RunQueued, email: str, password: str, words: str
) -> None:
    response = submit(logged_in(person), "/account/address", {"email": email, "password": password})
    assert response.status_code == 422
    assert words in response.text
    run_queued()
    assert sink.mails == []


def test_only_the_newest_link_works_and_for_an_hour(
    person: User, logged_in: LoggedIn, client: FlaskClient, ask: Callable[[FlaskClient, str], str]
) -> None:
    theirs = logged_in(person)
    first = link_in(ask(theirs, "first@example.com"), "/account/address")
    second = link_in(ask(theirs, "second@example.com"), "/account/address")
    assert client.get(first).status_code == 410
    assert client.get(second).status_code == 200
    with freeze(utcnow() + timedelta(minutes=61)):
        assert client.get(second).status_code == 410
    assert client.get("/account/address/nothing").status_code == 404


def test_links_in_the_old_mailbox_die_with_the_change(
    person: User,
    logged_in: LoggedIn,
    client: FlaskClient,
    ask: Callable[[FlaskClient, str], str],
    sink: Sink,
    run_queued: RunQueued,
) -> None:
    submit(client, "/password/forgot", {"email": OLD})
    run_queued()
    reset = link_in(sink.to(OLD)[-1].message.get_body(("plain",)).get_content(), "/password/reset")
    link = link_in(ask(logged_in(person), NEW), "/account/address")
    assert submit(client, link, {}, action="").status_code == 303
    assert client.get(reset).status_code == 410
