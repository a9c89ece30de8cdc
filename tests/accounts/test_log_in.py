"""Logging in, staying logged in, and being logged out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from statistics import median

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.passwords import hash_password
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.web_extensions import limiter
from tests.pages import submit
from tests.people import PASSWORD, make_user
from tests.stopwatch import Stopwatch

pytestmark = pytest.mark.usefixtures("owner")
LoggedIn = Callable[..., FlaskClient]


@pytest.fixture
def person(app: Flask) -> User:
    return make_user("dana@example.com", password=True)


def try_password(client: FlaskClient, email: str, password: str) -> int:
    return submit(client, "/login", {"email": email, "password": password}).status_code


def test_after_the_log_in_one_is_where_one_wanted_to_be(client: FlaskClient, owner: User) -> None:
    response = client.get("/account?x=1")
    assert response.status_code == 303
    response = submit(client, response.location, {"email": owner.email, "password": PASSWORD})
    assert response.location == "/account?x=1"


@pytest.mark.parametrize("target", ["//evil.example.org", "/\\evil.example.org", "https://evil.example.org", "/a\r\nb"])
def test_the_log_in_never_leads_away_from_the_site(client: FlaskClient, person: User, target: str) -> None:
    page = client.get("/login", query_string={"next": target})
    assert f'name="next" value="{target}' not in page.text
    response = submit(client, "/login", {"email": person.email, "password": PASSWORD, "next": target})
    assert response.location == "/account"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("dana@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("unverified@example.com", PASSWORD),
        ("imported@example.com", PASSWORD),
        ("imported@example.com", ""),
        ("dana@example.com", "x" * 100_000),
    ],
)
def test_a_failure_never_says_what_did_not_fit(client: FlaskClient, person: User, email: str, password: str) -> None:
    make_user("unverified@example.com", password=True, verified=False)
    make_user("imported@example.com")
    response = submit(client, "/login", {"email": email, "password": password or " "})
    assert response.status_code == 422
    assert "The address or the password is wrong, or the account cannot be used" in response.text
    assert not password or f'value="{password}"' not in response.text
    assert db.session.execute(select(LoginSession)).first() is None


def test_known_and_unknown_addresses_take_the_same_time(app: Flask, client: FlaskClient, person: User) -> None:
    make_user("unverified@example.com", password=True, verified=False)
    make_user("imported@example.com")
    addresses = ["dana@example.com", "nobody@example.com", "unverified@example.com", "imported@example.com"]
    spent: dict[str, list[float]] = {address: [] for address in addresses}
    app.config["WTF_CSRF_ENABLED"] = False
    limiter.enabled = False
    try:
        for _ in range(25):
            for address in addresses:
                stopwatch = Stopwatch()
                client.post("/login", data={"email": address, "password": "not the password"})
                spent[address].append(stopwatch.seconds)
    finally:
        limiter.enabled = True
    medians = [median(times) for times in spent.values()]
    assert max(medians) < 1.5 * min(medians), dict(zip(addresses, medians, strict=True))


def test_the_log_in_begins_a_new_session(client: FlaskClient, person: User) -> None:
    client.get("/login")
    with client.session_transaction() as session:
        session["planted"] = "by somebody else"
        token_before = session["csrf_token"]
    submit(client, "/login", {"email": person.email, "password": PASSWORD})
    with client.session_transaction() as session:
        assert "planted" not in session
        assert session.get("csrf_token") != token_before


def test_the_cookie_holds_a_secret_that_the_database_does_not(client: FlaskClient, person: User) -> None:
    submit(client, "/login", {"email": person.email, "password": PASSWORD})
    with client.session_transaction() as session:
        token = session["_user_id"]
    row = db.session.execute(select(LoginSession)).scalar_one()
    assert len(token) >= 43
    assert token not in (row.token_hash, str(row.id))


def test_logging_out_ends_the_log_in_for_a_copied_cookie_too(
    person: User, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    client = logged_in(person)
    thief = browser()
    thief.set_cookie("carillon", client.get_cookie("carillon").value)  # type: ignore[union-attr]
    assert thief.get("/account").status_code == 200
    assert submit(client, "/account", {}, action="/logout").location == "/login"
    for each in (client, thief):
        assert each.get("/account").location.startswith("/login")


def test_a_log_in_ends_when_it_rests_and_lives_while_it_is_used(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    start = utcnow()
    for minutes in (20, 40, 60):
        with freeze(start + timedelta(minutes=minutes)):
            assert client.get("/account").status_code == 200
    with freeze(start + timedelta(minutes=91)):
        assert client.get("/account").status_code == 303


def test_a_log_in_ends_after_twelve_hours_however_much_it_is_used(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    start = utcnow()
    for quarters in range(1, 48):
        with freeze(start + timedelta(minutes=15 * quarters)):
            assert client.get("/account").status_code == 200
    with freeze(start + timedelta(hours=12, minutes=1)):
        assert client.get("/account").status_code == 303


def test_a_remembered_log_in_survives_the_night_but_not_the_month(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person, remember="y")
    assert client.get_cookie("carillon").expires is not None  # type: ignore[union-attr]
    start = utcnow()
    for days in (6, 12, 18, 24, 29):
        with freeze(start + timedelta(days=days)):
            assert client.get("/account").status_code == 200
    with freeze(start + timedelta(days=31)):
        assert client.get("/account").status_code == 303


def test_the_cookie_of_a_log_in_ends_with_the_browser(person: User, logged_in: LoggedIn) -> None:
    cookie = logged_in(person).get_cookie("carillon")
    assert cookie is not None
    assert cookie.expires is None
    assert cookie.http_only
    assert cookie.same_site == "Lax"


def test_the_last_visit_is_noted_once_a_minute(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    seen = []
    start = utcnow()
    for seconds in (30, 70, 100, 140):
        with freeze(start + timedelta(seconds=seconds)):
            client.get("/account")
            db.session.expire_all()
            seen.append(db.session.execute(select(LoginSession.last_seen_at)).scalar_one() - start)
    assert [round(each.total_seconds()) for each in seen] == [0, 70, 70, 140]


def test_five_failures_bring_a_pause_that_is_stated_and_passes_other_people_by(
    client: FlaskClient, person: User, owner: User
) -> None:
    for _ in range(5):
        assert try_password(client, person.email, "wrong password") == 422
    response = submit(client, "/login", {"email": person.email, "password": PASSWORD})
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert "You can try again in" in response.text
    assert 'name="password"' in response.text
    assert try_password(client, owner.email, PASSWORD) == 303


def test_success_is_never_counted(client: FlaskClient, person: User) -> None:
    for _ in range(8):
        assert try_password(client, person.email, PASSWORD) == 303
        client.delete_cookie("carillon")


def test_a_whole_network_that_guesses_is_slowed_down(client: FlaskClient) -> None:
    codes = [try_password(client, f"person{number}@example.com", "wrong password") for number in range(31)]
    assert codes == [422] * 30 + [429]


def test_an_old_hash_is_renewed_at_the_log_in(client: FlaskClient, person: User) -> None:
    person.password_hash = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    db.session.commit()
    assert try_password(client, person.email, PASSWORD) == 303
    db.session.expire_all()
    assert "m=19456,t=2,p=1" in str(person.password_hash)


def test_hangul_fits_however_the_keyboard_composes_it(client: FlaskClient, person: User) -> None:
    words = "말과 배터리와 스테이플러"
    person.password_hash = hash_password(unicodedata.normalize("NFD", words))
    db.session.commit()
    assert try_password(client, person.email, unicodedata.normalize("NFC", words)) == 303


def test_logging_in_works_while_redis_is_away(client: FlaskClient, person: User, redis_server: object) -> None:
    redis_server.kill()  # type: ignore[attr-defined]
    try:
        assert try_password(client, person.email, "wrong password") == 422
        assert try_password(client, person.email, PASSWORD) == 303
    finally:
        redis_server.start()  # type: ignore[attr-defined]
