"""No form acts without the token that belongs to the visitor's own session."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.web_extensions import limiter
from tests.people import log_in, make_user
from tests.test_access import browser_of, path_of, walk

# RFC 8058 §3.2: a mail program posts here without a visit before, so there is no session whose token it could carry.
# The link itself is signed.
WITHOUT_TOKEN = {"audience.unsubscribe"}


@pytest.fixture
def strict_app(app: Flask) -> Iterator[Flask]:
    limiter.enabled = False
    make_user("owner@example.com", role="owner")
    yield app
    limiter.enabled = True


@pytest.mark.parametrize("token", [None, "", "wrong", "IjEyMyI.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"])
@pytest.mark.parametrize("who", ["stranger", "owner"])
def test_every_form_refuses_a_missing_and_a_wrong_token(strict_app: Flask, token: str | None, who: str) -> None:
    accepted = []
    client = browser_of(strict_app, who)
    for rule, method in walk(strict_app):
        if method == "GET" or rule.endpoint in WITHOUT_TOKEN:
            continue
        data = {} if token is None else {"csrf_token": token}
        answer = client.open(path_of(rule), method=method, data=data)
        if answer.status_code != 400:
            accepted.append(f"{method} {rule.rule} ({rule.endpoint}): {answer.status_code}")
    assert not accepted, "\n".join(accepted)


def test_another_persons_token_does_not_fit(strict_app: Flask) -> None:
    mine, theirs = browser_of(strict_app, "owner"), browser_of(strict_app, "admin")
    token = token_on(theirs, "/account")
    assert mine.post("/account/announcements", data={"csrf_token": token}).status_code == 400
    assert theirs.post("/account/announcements", data={"csrf_token": token}).status_code == 303


def test_a_token_from_before_the_log_in_does_not_fit_after_it(strict_app: Flask) -> None:
    person = make_user("dana@example.com", password=True)
    client = log_in(strict_app, person)
    before = token_on(strict_app.test_client(), "/login")
    assert client.post("/account/announcements", data={"csrf_token": before}).status_code == 400


def test_scripts_send_the_token_as_a_header(strict_app: Flask) -> None:
    client = browser_of(strict_app, "owner")
    token = token_on(client, "/account")
    assert client.post("/account/announcements", headers={"X-CSRFToken": token}).status_code == 303
    assert client.post("/account/announcements", headers={"X-CSRFToken": "wrong"}).status_code == 400


def test_only_the_one_click_way_out_is_exempt(strict_app: Flask) -> None:
    exempt = strict_app.extensions["csrf"]._exempt_views
    views = {f"{view.__module__}.{view.__name__}": name for name, view in strict_app.view_functions.items()}
    assert {views.get(each, each) for each in exempt} <= WITHOUT_TOKEN
    assert not strict_app.extensions["csrf"]._exempt_blueprints


def token_on(client: FlaskClient, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found.group(1)
