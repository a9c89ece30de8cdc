"""The team's people: an owner from outside, and members with every role; browsers speak English."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.extensions import db
from tests.pages import submit
from tests.people import PASSWORD, make_user


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


@pytest.fixture
def browser(app: Flask) -> Callable[[], FlaskClient]:
    """Return another browser, without a log-in."""

    def make() -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        return client

    return make


@pytest.fixture
def client(browser: Callable[[], FlaskClient]) -> FlaskClient:
    return browser()


@pytest.fixture
def logged_in(browser: Callable[[], FlaskClient]) -> Callable[[User], FlaskClient]:
    """Return a browser in which this person has logged in."""

    def log_in(user: User) -> FlaskClient:
        client = browser()
        response = submit(client, "/login", {"email": user.email, "password": PASSWORD})
        assert response.status_code == 303, response.text
        return client

    return log_in


@pytest.fixture
def member(owner: User) -> Callable[..., User]:
    """Add somebody with a role, who can log in."""

    def make(role: str, **values: object) -> User:
        return make_user(f"{role}@example.org", role=role, password=True, name=role.title(), **values)

    return make


@pytest.fixture
def deeds(app: Flask) -> Callable[[], list[str]]:
    """Return the actions in the activity log, in order, but for log-ins that began."""

    def read() -> list[str]:
        found = db.session.query(AuditEntry.action).order_by(AuditEntry.id)
        return [action for (action,) in found if action != "login.began"]

    return read
