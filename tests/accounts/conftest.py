"""Browsers of these tests speak English, so that a test can say which words it expects."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from tests.pages import submit
from tests.people import PASSWORD


@pytest.fixture
def browser(app: Flask) -> Callable[[], FlaskClient]:
    """Return another browser, without a log-in."""

    def make() -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        client.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0 Safari/537.36"
        return client

    return make


@pytest.fixture
def client(browser: Callable[[], FlaskClient]) -> FlaskClient:
    return browser()


@pytest.fixture
def logged_in(browser: Callable[[], FlaskClient]) -> Callable[..., FlaskClient]:
    """Return a browser in which this person has logged in."""

    def log_in(user: User, **fields: str) -> FlaskClient:
        client = browser()
        response = submit(client, "/login", {"email": user.email, "password": PASSWORD, **fields})
        assert response.status_code == 303, response.text
        return client

    return log_in
