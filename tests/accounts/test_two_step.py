"""Two-step log-in: set up, asked for, once per code, recovered, turned off, and required of roles."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import unquote

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts import second_factor
from campaigns.accounts.models import RecoveryCode, SecondFactor, User
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze, utcnow
from campaigns.config import Settings
from campaigns.extensions import db
from campaigns.secrets_at_rest import decrypt
from campaigns.team.services import remove_two_step
from tests.pages import submit
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink
from tests.test_access import path_of, walk

LoggedIn = Callable[..., FlaskClient]
pytestmark = pytest.mark.usefixtures("owner")


@pytest.fixture
def now() -> Iterator[datetime]:
    """The clock stands in the middle of a time step."""
    at = utcnow().replace(second=15, microsecond=0)
    with freeze(at):
        yield at


@pytest.fixture
def person(app: Flask, now: datetime) -> User:
    return make_user("dana@example.com", password=True, name="Dana", role="sender", language="en")


def code_at(user: User, at: datetime) -> str:
    """Return what the person's app shows at that time."""
    return pyotp.TOTP(decrypt(db.session.get_one(SecondFactor, user.id).secret)).at(at)


def set_up(client: FlaskClient, user: User, at: datetime) -> list[str]:
    """Turn two-step log-in on as a person does; returns the recovery codes."""
    assert submit(client, "/account/two-step", {"password": PASSWORD}).status_code == 303
    page = submit(client, "/account/two-step", {"code": code_at(user, at)})
    assert page.status_code == 200, page.text
    return re.findall(r"<li>([0-9a-z]{5}-[0-9a-z]{5})</li>", page.text)


def enter_password(browser: Callable[[], FlaskClient], user: User, **fields: str) -> FlaskClient:
    client = browser()
    response = submit(client, "/login", {"email": user.email, "password": PASSWORD, **fields})
    assert response.location.startswith("/login/code"), response.location
    return client


def enter_code(client: FlaskClient, code: str) -> int:
    return submit(client, "/login/code", {"code": code}).status_code


def actions() -> list[str]:
    return [action for (action,) in db.session.query(AuditEntry.action).order_by(AuditEntry.id)]


def test_it_is_set_up_with_a_picture_and_a_key_and_confirmed_by_a_code(
    person: User, now: datetime, logged_in: LoggedIn, sink: Sink, run_queued: Callable[..., list[str]]
) -> None:
    client, phone = logged_in(person), logged_in(person)
    assert submit(client, "/account/two-step", {"password": "wrong password"}).status_code == 422
    submit(client, "/account/two-step", {"password": PASSWORD})
    page = client.get("/account/two-step").text
    secret = decrypt(db.session.get_one(SecondFactor, person.id).secret)
    assert " ".join(re.findall("....", secret)) in page
    assert 'src="data:image/svg+xml' in page
    assert submit(client, "/account/two-step", {"code": "000000"}).status_code == 422
    db.session.expire_all()
    assert person.two_step_at is None
    shown = submit(client, "/account/two-step", {"code": code_at(person, now)})
    codes = re.findall(r"<li>([0-9a-z]{5}-[0-9a-z]{5})</li>", shown.text)
    assert len(set(codes)) == 10
    assert shown.headers["Cache-Control"] == "no-store"
    assert not any(code in client.get("/account/two-step").text for code in codes)
    assert phone.get("/account").status_code == 303
    run_queued()
    assert "turned on" in sink.to(person.email)[-1].message["Subject"]
    assert "user.two_step_turned_on" in actions()


def test_the_picture_says_what_apps_read(person: User, now: datetime, app: Flask) -> None:
    second_factor.offer(person.id)
    db.session.commit()
    offer = second_factor.find_offer(person, site_name="새벽 우편")
    assert offer
    assert unquote(offer.picture).startswith("data:image/svg+xml")
    assert "<script" not in unquote(offer.picture)
    assert len(base64.b32decode(offer.key.replace(" ", ""))) == 20


def test_neither_secret_nor_recovery_codes_stand_in_the_database(
    person: User, now: datetime, logged_in: LoggedIn
) -> None:
    codes = set_up(logged_in(person), person, now)
    factor = db.session.get_one(SecondFactor, person.id)
    assert factor.secret.startswith("gAAAA")
    assert decrypt(factor.secret) not in factor.secret
    stored = " ".join(code.code_hash for code in db.session.query(RecoveryCode))
    assert not any(code.replace("-", "") in stored for code in codes)


def test_the_code_is_asked_for_and_nothing_opens_before(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    set_up(logged_in(person), person, now)
    client = enter_password(browser, person, next="/campaigns")
    for path in ("/account", "/campaigns", "/", "/account/two-step"):
        assert client.get(path).location.startswith("/login")
    with freeze(now + timedelta(seconds=30)):
        page = client.get("/login/code")
        assert 'autocomplete="one-time-code"' in page.text
        response = submit(client, "/login/code?next=/campaigns", {"code": code_at(person, now + timedelta(seconds=30))})
        assert response.location == "/campaigns"
        assert client.get("/campaigns").status_code == 200


@pytest.mark.parametrize(("drift", "status"), [(-2, 422), (-1, 303), (0, 303), (1, 303), (2, 422)])
def test_a_clock_may_be_off_by_one_step(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient], drift: int, status: int
) -> None:
    set_up(logged_in(person), person, now)
    later = now + timedelta(minutes=5)
    with freeze(later):
        client = enter_password(browser, person)
        assert enter_code(client, code_at(person, later + timedelta(seconds=30 * drift))) == status


def test_no_code_is_taken_twice_nor_an_older_one_after_it(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    set_up(logged_in(person), person, now)
    assert enter_code(enter_password(browser, person), code_at(person, now)) == 422  # it confirmed the set-up
    with freeze(now + timedelta(minutes=1)):
        later = now + timedelta(minutes=1)
        assert enter_code(enter_password(browser, person), code_at(person, later)) == 303
        assert enter_code(enter_password(browser, person), code_at(person, later)) == 422
        assert enter_code(enter_password(browser, person), code_at(person, now + timedelta(seconds=30))) == 422


@pytest.mark.both_databases
def test_one_code_entered_twice_at_once_is_taken_once(
    app: Flask, person: User, now: datetime, logged_in: LoggedIn
) -> None:
    set_up(logged_in(person), person, now)
    with freeze(now + timedelta(minutes=1)):
        code, user_id, taken = code_at(person, now + timedelta(minutes=1)), person.id, []
        start = threading.Barrier(2)

        def take() -> None:
            with app.app_context():
                start.wait()
                taken.append(second_factor.take_code(user_id, code))
                db.session.commit()
                db.session.remove()

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(taken) == [False, True]


def test_codes_may_be_typed_with_blanks_and_full_width_digits(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    set_up(logged_in(person), person, now)
    with freeze(now + timedelta(minutes=1)):
        code = code_at(person, now + timedelta(minutes=1))
        wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
        assert enter_code(enter_password(browser, person), f" {wide[:3]} {wide[3:]} ") == 303


def test_guessing_codes_is_slowed_down_for_the_person_wherever_they_are_typed(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    set_up(logged_in(person), person, now)
    client = enter_password(browser, person)
    assert [enter_code(client, "000000") for _ in range(3)] == [422] * 3
    paths = [submit(client, "/login/recovery-code", {"code": "aaaaa-aaaaa"}).status_code for _ in range(3)]
    assert paths == [422, 422, 429]
    assert enter_code(enter_password(browser, person), "000000") == 429
    assert actions().count("login.refused") == 5


def test_a_recovery_code_logs_in_once_and_a_mail_says_so(
    person: User,
    now: datetime,
    logged_in: LoggedIn,
    browser: Callable[[], FlaskClient],
    sink: Sink,
    run_queued: Callable[..., list[str]],
) -> None:
    code = set_up(logged_in(person), person, now)[3]
    client = enter_password(browser, person)
    response = submit(client, "/login/recovery-code", {"code": code.upper().replace("-", " ")})
    assert response.status_code == 303
    assert "recovery code" in client.get("/account").text
    again = enter_password(browser, person)
    assert submit(again, "/login/recovery-code", {"code": code}).status_code == 422
    run_queued()
    text = sink.to(person.email)[-1].message.get_body(("plain",)).get_content()
    assert "9 recovery codes left" in text
    assert "user.recovery_code_used" in actions()


def test_new_recovery_codes_make_the_old_ones_void(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    client = logged_in(person)
    old = set_up(client, person, now)
    with freeze(now + timedelta(minutes=1)):
        later = now + timedelta(minutes=1)
        page = submit(client, "/account/two-step", {"renew-code": code_at(person, later)})
        new = re.findall(r"<li>([0-9a-z]{5}-[0-9a-z]{5})</li>", page.text)
        assert len(new) == 10
        waiting = enter_password(browser, person)
        assert submit(waiting, "/login/recovery-code", {"code": old[0]}).status_code == 422
        assert submit(waiting, "/login/recovery-code", {"code": new[0]}).status_code == 303


def test_turning_it_off_needs_the_password_and_a_code(
    person: User,
    now: datetime,
    logged_in: LoggedIn,
    sink: Sink,
    run_queued: Callable[..., list[str]],
) -> None:
    client = logged_in(person)
    codes = set_up(client, person, now)
    wrong = {"off-password": "wrong password", "off-code": codes[0]}
    assert submit(client, "/account/two-step", wrong).status_code == 422
    assert submit(client, "/account/two-step", {"off-password": PASSWORD, "off-code": "000000"}).status_code == 422
    db.session.expire_all()
    assert person.two_step_at is not None
    right = {"off-password": PASSWORD, "off-code": codes[0]}
    assert submit(client, "/account/two-step", right).status_code == 303
    logged_in(person)
    assert db.session.query(SecondFactor).count() + db.session.query(RecoveryCode).count() == 0
    run_queued()
    assert "turned off" in sink.to(person.email)[-1].message["Subject"]
    assert "user.two_step_turned_off" in actions()


def test_an_owner_takes_it_from_somebody_who_lost_everything(
    person: User, owner: User, now: datetime, logged_in: LoggedIn, sink: Sink, run_queued: Callable[..., list[str]]
) -> None:
    theirs = logged_in(person)
    set_up(theirs, person, now)
    client = logged_in(owner)
    response = submit(client, f"/team/{person.id}", {}, action=f"/team/{person.id}/two-step/remove")
    assert response.status_code == 303
    assert theirs.get("/account").status_code == 303
    logged_in(person)
    run_queued()
    assert "An owner" in sink.to(person.email)[-1].message["Subject"]
    assert "user.two_step_removed" in actions()


def test_a_password_reset_leaves_the_second_step(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    client = logged_in(person)
    set_up(client, person, now)
    waiting = enter_password(browser, person)
    new = {"current": PASSWORD, "password": "quite another password"}
    assert submit(client, "/account", new, action="/account/password").status_code == 303
    assert waiting.get("/login/code").status_code == 303  # what knew the old password has ended
    response = submit(waiting, "/login", {"email": person.email, "password": "quite another password"})
    assert response.location.startswith("/login/code")


def test_the_page_for_the_code_lies_open_for_ten_minutes(
    person: User, now: datetime, logged_in: LoggedIn, browser: Callable[[], FlaskClient]
) -> None:
    set_up(logged_in(person), person, now)
    client = enter_password(browser, person)
    with freeze(now + timedelta(minutes=11)):
        assert client.get("/login/code").location == "/login"


def test_a_picture_left_lying_is_no_longer_good(person: User, now: datetime, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    submit(client, "/account/two-step", {"password": PASSWORD})
    with freeze(now + timedelta(minutes=29)):
        assert "data:image/svg" in client.get("/account/two-step").text
    token = client.get("/account").text.split('name="csrf_token" value="')[1].split('"')[0]
    later = now + timedelta(minutes=31)
    client = logged_in(person)
    with freeze(later):
        assert "data:image/svg" not in logged_in(person).get("/account/two-step").text
        assert not second_factor.take_first_code(person.id, code_at(person, later))
    assert token


@pytest.mark.parametrize(("least", "role", "led"), [
    ("nobody", "owner", False), ("sender", "viewer", False), ("sender", "sender", True), ("sender", "admin", True),
    ("sender", None, False), ("viewer", "viewer", True), ("owner", "admin", False), ("owner", "owner", True),
])  # fmt: skip
def test_whose_role_needs_it_is_led_there(
    app: Flask, settings: Settings, now: datetime, logged_in: LoggedIn, least: str, role: str | None, led: bool
) -> None:
    app.extensions["carillon.settings"] = replace(settings, two_step_required_from=least)
    client = logged_in(make_user("erin@example.com", password=True, role=role))
    assert (client.get("/").location == "/account/two-step") is led
    assert client.get("/account").status_code == 200


def test_until_then_nothing_but_the_account_answers(
    app: Flask, settings: Settings, person: User, now: datetime, logged_in: LoggedIn
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    app.extensions["carillon.settings"] = replace(settings, two_step_required_from="viewer")
    client, answered = logged_in(person), set()
    for rule, method in walk(app):
        if getattr(app.view_functions[rule.endpoint], "guard", None) == "public":
            continue
        if rule.endpoint in {"accounts.end_login", "accounts.delete_account"}:
            continue
        response = client.open(path_of(rule), method=method)
        if response.location != "/account/two-step" and response.status_code != 403:  # to programs, a bare refusal
            answered.add(rule.endpoint.partition(".")[0])
    assert answered == {"accounts"}
    assert client.get("/jobs", headers={"HX-Request": "true"}).status_code == 403
    assert "Jobs" not in client.get("/account").text


def test_set_up_opens_the_site(
    app: Flask, settings: Settings, person: User, now: datetime, logged_in: LoggedIn
) -> None:
    app.extensions["carillon.settings"] = replace(settings, two_step_required_from="sender")
    client = logged_in(person)
    assert "needs two-step" in client.get("/account/two-step").text
    set_up(client, person, now)
    assert client.get("/campaigns").status_code == 200


def test_an_owner_from_the_command_line_can_be_let_in_again(
    app: Flask, owner: User, now: datetime, logged_in: LoggedIn
) -> None:
    set_up(logged_in(owner), owner, now)
    result = app.test_cli_runner().invoke(args=["users", "remove-two-step", owner.email])
    assert result.exit_code == 0, result.output
    logged_in(owner)
    assert remove_two_step(owner.id, by=None)
