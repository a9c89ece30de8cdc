"""Browsers of these tests speak English, so that a test can say which words it expects."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.logins import Visitor, begin_login
from campaigns.accounts.models import User
from campaigns.extensions import db
from tests.people import make_user


def english(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return english(app)


@pytest.fixture
def client_of(app: Flask) -> Callable[[User], FlaskClient]:
    """Return a browser in which this person is logged in; faster than the form."""

    def make(user: User) -> FlaskClient:
        client = english(app)
        begin_login(user, remember=False, visitor=Visitor("127.0.0.1", "test"))
        token = user.login_token
        db.session.commit()
        with client.session_transaction() as session:
            session["_user_id"] = token
            session["_fresh"] = True
        return client

    return make


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.org", name="Ada", role="owner", language="en")


@pytest.fixture
def owner_client(client_of: Callable[[User], FlaskClient], owner: User) -> FlaskClient:
    return client_of(owner)


@pytest.fixture
def client_with_role(client_of: Callable[[User], FlaskClient]) -> Callable[[str], FlaskClient]:
    """Return a browser of somebody who has this role."""

    def make(role: str) -> FlaskClient:
        return client_of(make_user(f"{role}@example.org", name=role.title(), role=role, language="en"))

    return make
