"""What people see when something goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from werkzeug.exceptions import TooManyRequests

from app import create_app
from campaigns.config import Settings
from campaigns.errors import Conflict, NotFound, UserError
from campaigns.security import public
from tests.people import log_in, make_user
from tests.test_access import browser_of

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}


@pytest.fixture
def trouble(app: Flask) -> Callable[[BaseException], str]:
    """Return a function that adds a page which raises, and returns its path."""

    def add(error: BaseException) -> str:
        app._got_first_request = False

        @public
        def page() -> str:
            raise error

        name = f"trouble{len(app.view_functions)}"
        app.add_url_rule(f"/{name}", name, page, methods=["GET", "POST"])
        return f"/{name}"

    return add


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    make_user("owner@example.com", role="owner")
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


@pytest.mark.parametrize(
    ("error", "status"),
    [(UserError("It does not fit."), 422), (NotFound("It is gone."), 404), (Conflict("It was changed."), 409)],
)
def test_what_a_person_can_mend_is_said_in_words(
    client: FlaskClient, trouble: Callable[[BaseException], str], error: UserError, status: int
) -> None:
    path = trouble(error)
    page = client.get(path)
    assert page.status_code == status
    assert error.message in page.text
    assert "<h1>" in page.text
    part = client.get(path, headers={"HX-Request": "true"})
    assert part.status_code == status
    assert error.message in part.text
    assert "<html" not in part.text


def test_a_refused_form_is_told_beside_the_form(
    app: Flask, client: FlaskClient, trouble: Callable[[BaseException], str]
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    path = trouble(UserError("It does not fit."))
    answer = client.post(path, headers={"Referer": "http://localhost/login"})
    assert (answer.status_code, answer.location) == (303, "http://localhost/login")
    assert "It does not fit." in client.get("/login").text
    assert client.post(path, headers={"Referer": "https://evil.example.org/"}).status_code == 422


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 418, 422, 429, 500, 502, 503])
def test_every_status_has_a_page(client: FlaskClient, trouble: Callable[[BaseException], str], status: int) -> None:
    try:
        abort(status)
    except Exception as error:
        page = client.get(trouble(error))
    assert page.status_code == status
    assert page.text.count("<h1>") == 1
    assert page.headers["Content-Security-Policy"]


def test_a_page_that_does_not_exist_says_so_in_the_persons_language(client: FlaskClient) -> None:
    assert "This page does not exist" in client.get("/nowhere").text
    assert '<html lang="ko"' in client.get("/nowhere", headers={"Accept-Language": "ko"}).text


def test_a_fault_of_ours_is_named_by_a_number_and_shows_nothing_of_the_inside(
    app: Flask, client: FlaskClient, trouble: Callable[[BaseException], str]
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    page = client.get(trouble(RuntimeError("secret detail")))
    assert page.status_code == 500
    assert page.headers["X-Request-ID"] in page.text
    assert "secret detail" not in page.text


def test_a_stale_form_keeps_what_was_typed(client: FlaskClient, app: Flask) -> None:
    browser = browser_of(app, "owner")
    typed = {"csrf_token": "stale", "name": 'Ada "<b>"\nLovelace', "language": "en", "timezone": "", "theme": "system"}
    page = browser.post("/account", data=typed, headers=SAME_ORIGIN)
    assert page.status_code == 400
    assert "What you entered is still here" in page.text
    assert "Ada &#34;&lt;b&gt;&#34;\nLovelace" in page.text
    token = re.search(r'name="csrf_token" value="([^"]+)">\s*<textarea', page.text)
    assert token
    again = browser.post("/account", data={**typed, "name": "Ada", "csrf_token": token.group(1)}, headers=SAME_ORIGIN)
    assert again.status_code == 303


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"}]
)
def test_a_form_from_elsewhere_never_becomes_a_button_of_ours(app: Flask, headers: dict[str, str]) -> None:
    browser = browser_of(app, "owner")
    page = browser.post("/account", data={"name": "Planted"}, headers={**headers, "Accept-Language": "en"})
    assert page.status_code == 400
    assert "Planted" not in page.text


def test_a_form_that_was_sent_too_often_keeps_what_was_typed(
    app: Flask, trouble: Callable[[BaseException], str], owner: object
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    page = browser_of(app, "owner").post(trouble(TooManyRequests()), data={"name": "Ada"}, headers=SAME_ORIGIN)
    assert page.status_code == 429
    assert "Send it again when the time is up" in page.text
    assert ">\nAda</textarea>" in page.text


def test_what_was_typed_survives_a_fault_of_ours(
    app: Flask, trouble: Callable[[BaseException], str], owner: object
) -> None:
    app.config.update(WTF_CSRF_ENABLED=False, PROPAGATE_EXCEPTIONS=False)
    page = browser_of(app, "owner").post(trouble(RuntimeError()), data={"name": "Ada"}, headers=SAME_ORIGIN)
    assert page.status_code == 500
    assert ">\nAda</textarea>" in page.text


def test_who_may_not_do_something_learns_which_role_may_and_keeps_the_navigation(app: Flask) -> None:
    page = browser_of(app, "viewer").get("/settings", headers=SAME_ORIGIN)
    assert page.status_code == 403
    assert "This needs the role “Owner”. " in page.text
    assert 'href="/campaigns"' in page.text
    assert "“Admin” or a higher one" in browser_of(app, "viewer").get("/jobs", headers=SAME_ORIGIN).text


def test_somebody_without_a_role_is_led_to_their_account(app: Flask) -> None:
    page = log_in(app, make_user("dana@example.com", password=True)).get("/campaigns", headers=SAME_ORIGIN)
    assert page.status_code == 403
    assert "“Viewer”" in page.text
    assert 'class="btn primary" href="/account"' in page.text


def test_passwords_are_never_repeated(app: Flask) -> None:
    browser = browser_of(app, "owner")
    fields = {"current": "my old password", "password": "my new password"}
    page = browser.post("/account/password", data=fields, headers=SAME_ORIGIN)
    assert page.status_code == 400
    assert "my old password" not in page.text
    assert "my new password" not in page.text


def test_a_log_in_that_ended_under_an_open_page_loses_nothing(app: Flask, owner: object) -> None:
    person = make_user("dana@example.com", password=True)
    client, other = log_in(app, person), log_in(app, person)
    page = client.get("/account").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    other_token = re.search(r'name="csrf_token" value="([^"]+)"', other.get("/account").text)
    assert other_token
    other.post("/account/logins/end-others", data={"csrf_token": other_token.group(1)})
    answer = client.post("/account", data={"csrf_token": token.group(1), "name": "Dana Kim"}, headers=SAME_ORIGIN)
    assert answer.status_code == 401
    assert "Dana Kim" in answer.text
    assert 'href="/login"' in answer.text


def test_the_database_away_is_a_page_that_needs_none(settings: Settings, tmp_path: Path) -> None:
    away = f"sqlite:///{tmp_path / 'missing folder' / 'no.sqlite'}"
    app = create_app(replace(settings, database_url=away))
    try:
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
        with client.session_transaction() as session:
            session["_user_id"] = "somebody"
        for path in ("/", "/login", "/account"):
            page = client.get(path)
            assert page.status_code == 503, path
            assert "Not available right now" in page.text
            assert page.headers["Retry-After"] == "10"
        assert client.get("/healthz").status_code == 200
    finally:
        app.extensions["celery"].close()


def test_pages_work_while_redis_is_away(app: Flask, redis_server: object) -> None:
    person = make_user("dana@example.com", password=True, role="owner")
    client = log_in(app, person)
    redis_server.kill()  # type: ignore[attr-defined]
    try:
        for path in ("/", "/account", "/campaigns", "/jobs", "/password/forgot"):
            assert client.get(path).status_code == 200, path
    finally:
        redis_server.start()  # type: ignore[attr-defined]
