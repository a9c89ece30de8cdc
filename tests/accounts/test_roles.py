"""Who runs the site: roles given on the page and from the command line, and the owner who must stay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts import services
from campaigns.accounts.models import User
from campaigns.accounts.queries import find_user
from campaigns.errors import NotFound, UserError
from campaigns.extensions import db
from campaigns.mail.addresses import AddressError
from campaigns.security import Role
from campaigns.team.services import change_role
from tests.pages import submit
from tests.people import PASSWORD, make_user

LoggedIn = Callable[..., FlaskClient]


def role_of(user_id: int) -> str | None:
    db.session.expire_all()
    return db.session.get_one(User, user_id).role


def test_a_change_of_role_counts_at_once_and_ends_the_log_ins(owner: User, logged_in: LoggedIn) -> None:
    person = make_user("eve@example.com", password=True, role="editor")
    client = logged_in(person)
    change_role(person.id, Role.SENDER, by=owner)
    assert role_of(person.id) == "sender"
    assert client.get("/account").status_code == 303
    change_role(person.id, None, by=owner)
    assert role_of(person.id) is None


def test_the_last_owner_stays_an_owner(owner: User) -> None:
    with pytest.raises(UserError):
        change_role(owner.id, Role.ADMIN, by=owner)
    assert role_of(owner.id) == "owner"
    change_role(owner.id, Role.OWNER, by=owner)
    second = make_user("second@example.com", role="owner")
    change_role(owner.id, None, by=owner)
    with pytest.raises(UserError):
        change_role(second.id, None, by=second)


@pytest.mark.both_databases
def test_two_owners_who_step_down_at_once_do_not_leave_nobody(app: Flask, owner: User) -> None:
    second = make_user("second@example.com", role="owner")
    ids, refused = (owner.id, second.id), []
    start = threading.Barrier(2)

    def step_down(user_id: int) -> None:
        with app.app_context(), app.test_request_context():
            start.wait()
            try:
                change_role(user_id, None, by=None)
            except UserError:
                refused.append(user_id)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=step_down, args=(user_id,)) for user_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert [role_of(user_id) for user_id in ids].count("owner") == 1


def test_who_has_not_proved_the_address_gets_no_role(owner: User) -> None:
    person = make_user("eve@example.com", password=True, verified=False)
    with pytest.raises(UserError):
        change_role(person.id, Role.ADMIN, by=owner)
    assert role_of(person.id) is None


def test_nobody_can_be_given_a_role_who_is_gone(owner: User) -> None:
    with pytest.raises(NotFound):
        change_role(99_999, Role.ADMIN, by=owner)


@pytest.mark.both_databases
def test_an_admin_made_on_the_command_line_sets_a_password_with_the_link(app: Flask, client: FlaskClient) -> None:
    user, link = services.create_admin("New.Owner@Example.com", name="Nora")
    assert (user.role, user.name, user.email) == ("owner", "Nora", "New.Owner@example.com")
    assert link
    path = urlsplit(link).path
    assert link == f"http://carillon.example.test{path}"
    assert submit(client, path, {"password": "a password of her own"}).status_code == 303
    fields = {"email": "new.owner@example.com", "password": "a password of her own"}
    assert submit(client, "/login", fields).location == "/"


def test_an_admin_made_with_a_password_can_log_in_at_once(client: FlaskClient) -> None:
    user, link = services.create_admin("demo@example.com", role="admin", password=PASSWORD)
    assert (user.role, link) == ("admin", None)
    assert submit(client, "/login", {"email": "demo@example.com", "password": PASSWORD}).status_code == 303


def test_a_known_person_keeps_name_and_password_and_gets_the_role(app: Flask, client: FlaskClient) -> None:
    make_user("known@example.com", password=True, name="Known")
    user, link = services.create_admin("KNOWN@example.com", role=Role.EDITOR)
    assert (user.role, user.name, link) == ("editor", "Known", None)
    assert submit(client, "/login", {"email": "known@example.com", "password": PASSWORD}).status_code == 303


def test_an_unproved_password_does_not_open_an_administrators_account(app: Flask, client: FlaskClient) -> None:
    make_user("boss@example.com", password=True, verified=False)  # somebody signed up with the boss's address
    _user, link = services.create_admin("boss@example.com")
    assert link
    assert submit(client, "/login", {"email": "boss@example.com", "password": PASSWORD}).status_code == 422
    found = find_user("boss@example.com")
    assert found
    assert found.password_hash is None


def test_an_admin_needs_an_address_and_a_known_role(app: Flask) -> None:
    with pytest.raises(AddressError):
        services.create_admin("not an address")
    with pytest.raises(ValueError):
        services.create_admin("someone@example.com", role="emperor")
