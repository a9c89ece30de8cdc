"""What people change about their own account."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.passwords import hash_password, verify_password
from campaigns.compose.models import Campaign
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.extensions import db
from tests.pages import submit
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink

LoggedIn = Callable[..., FlaskClient]
NEW = "quite another password"
pytestmark = pytest.mark.usefixtures("owner")


@pytest.fixture
def person(app: Flask) -> User:
    return make_user("dana@example.com", password=True, name="Dana")


def fresh(user_id: int) -> User | None:
    db.session.expire_all()
    return db.session.get(User, user_id)


def test_name_language_and_zone_are_saved_and_shown_in(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    fields = {"name": "다나", "language": "ko", "timezone": "Europe/Berlin", "theme": "dark"}
    assert submit(client, "/account", fields).status_code == 303
    page = client.get("/account")
    assert '<html lang="ko" data-theme="dark">' in page.text
    assert 'value="다나"' in page.text
    user = fresh(person.id)
    assert user
    assert (user.name, user.language, user.timezone) == ("다나", "ko", "Europe/Berlin")


def test_language_and_zone_may_be_left_to_the_browser_and_the_site(person: User, logged_in: LoggedIn) -> None:
    person.language, person.timezone = "ko", "Asia/Seoul"
    db.session.commit()
    client = logged_in(person)
    submit(client, "/account", {"name": "", "language": "", "timezone": "", "theme": "system"})
    user = fresh(person.id)
    assert user
    assert (user.name, user.language, user.timezone) == ("", None, None)
    assert '<html lang="en"' in client.get("/account").text


@pytest.mark.parametrize(
    "wrong", [{"language": "xx"}, {"timezone": "Mars/Base"}, {"name": "x" * 101}, {"name": "\x07"}]
)
def test_what_cannot_be_saved_is_said_and_nothing_changes(
    person: User, logged_in: LoggedIn, wrong: dict[str, str]
) -> None:
    client = logged_in(person)
    fields = {"name": "New", "language": "en", "timezone": "UTC", "theme": "system", **wrong}
    assert submit(client, "/account", fields).status_code == 422
    user = fresh(person.id)
    assert user
    assert user.name == "Dana"


def test_the_language_switch_changes_the_persons_own_choice(person: User, logged_in: LoggedIn) -> None:
    person.language = "en"
    db.session.commit()
    client = logged_in(person)
    submit(client, "/account", {"language": "ko", "next": "/account"}, action="/language")
    assert '<html lang="ko"' in client.get("/account").text


def test_announcements_are_left_and_taken_again(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    page = client.get("/account").text
    assert "checked" in page
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    client.post("/account/announcements", data={"csrf_token": token})
    assert fresh(person.id).unsubscribed_at is not None  # type: ignore[union-attr]
    client.post("/account/announcements", data={"csrf_token": token, "wanted": "y"})
    assert fresh(person.id).unsubscribed_at is None  # type: ignore[union-attr]


def test_a_new_password_ends_every_other_log_in_and_is_told_by_mail(
    person: User, logged_in: LoggedIn, sink: Sink, run_queued: Callable[..., list[str]]
) -> None:
    phone, desk = logged_in(person), logged_in(person)
    response = submit(desk, "/account", {"current": PASSWORD, "password": NEW}, action="/account/password")
    assert response.status_code == 303
    assert desk.get("/account").status_code == 200
    assert phone.get("/account").status_code == 303
    run_queued()
    assert "password was changed" in sink.to("dana@example.com")[0].message["Subject"]
    assert submit(phone, "/login", {"email": person.email, "password": NEW}).status_code == 303


@pytest.mark.parametrize(
    ("current", "new", "words"),
    [
        ("wrong password", NEW, "not your current password"),
        (PASSWORD, "short", "at least 12"),
        (PASSWORD, "dana.dana.dana", "based on your address"),
        ("", NEW, "Enter your current password"),
    ],
)
def test_a_password_is_not_changed_without_the_current_one_or_to_a_weak_one(
    person: User, logged_in: LoggedIn, current: str, new: str, words: str
) -> None:
    client = logged_in(person)
    response = submit(client, "/account", {"current": current, "password": new}, action="/account/password")
    assert response.status_code == 422
    assert words in response.text
    user = fresh(person.id)
    assert user
    assert verify_password(user.password_hash, PASSWORD)


def test_guessing_the_current_password_is_slowed_down(person: User, logged_in: LoggedIn) -> None:
    client = logged_in(person)
    fields = {"current": "wrong password", "password": NEW}
    codes = [submit(client, "/account", fields, action="/account/password").status_code for _ in range(6)]
    assert codes == [422] * 5 + [429]


def test_log_ins_are_listed_and_ended_one_by_one_or_all_but_this(person: User, logged_in: LoggedIn) -> None:
    first, second, third = (logged_in(person) for _ in range(3))
    page = first.get("/account").text
    assert page.count("Chrome · Linux") >= 3
    (newest,) = db.session.execute(select(func.max(LoginSession.id)).where(LoginSession.user_id == person.id)).one()
    submit(first, "/account", {}, action=f"/account/logins/{newest}/end")
    assert third.get("/account").status_code == 303
    assert second.get("/account").status_code == 200
    submit(first, "/account", {}, action="/account/logins/end-others")
    assert second.get("/account").status_code == 303
    assert first.get("/account").status_code == 200


def test_nobody_ends_another_persons_log_in(person: User, owner: User, logged_in: LoggedIn) -> None:
    others = logged_in(owner)
    (theirs,) = db.session.execute(select(LoginSession.id).where(LoginSession.user_id == owner.id)).one()
    client = logged_in(person)
    token = client.get("/account").text.split('name="csrf_token" value="')[1].split('"')[0]
    client.post(f"/account/logins/{theirs}/end", data={"csrf_token": token})
    assert others.get("/account").status_code == 200


@pytest.mark.both_databases
def test_an_account_is_deleted_and_its_waiting_mail_has_nobody_any_more(person: User, logged_in: LoggedIn) -> None:
    campaign = Campaign(subject="Hello", body="Hello", created_by_id=person.id)
    db.session.add(campaign)
    db.session.flush()
    db.session.add(
        Delivery(
            campaign_id=campaign.id,
            position=1,
            user_id=person.id,
            address=person.email,
            state=DeliveryState.WAITING,
        )
    )
    db.session.commit()
    client, phone = logged_in(person), logged_in(person)
    user_id, campaign_id = person.id, campaign.id
    response = submit(client, "/account/delete", {"typed": "Dana@Example.com", "password": PASSWORD})
    assert response.location == "/account/deleted"
    assert "deleted" in client.get(response.location).text
    assert phone.get("/account").status_code == 303
    assert fresh(user_id) is None
    assert db.session.get_one(Delivery, (campaign_id, 1)).user_id is None
    assert db.session.get_one(Campaign, campaign_id).created_by_id is None


@pytest.mark.parametrize(
    ("typed", "password"), [("dana@example.com", "wrong password"), ("other@example.com", PASSWORD), ("", PASSWORD)]
)
def test_an_account_is_not_deleted_by_a_slip(person: User, logged_in: LoggedIn, typed: str, password: str) -> None:
    response = submit(logged_in(person), "/account/delete", {"typed": typed, "password": password})
    assert response.status_code == 422
    assert fresh(person.id) is not None


def test_the_last_owner_cannot_leave(owner: User, logged_in: LoggedIn) -> None:
    client = logged_in(owner)
    response = submit(client, "/account/delete", {"typed": owner.email, "password": PASSWORD})
    assert response.status_code == 422
    assert "only owner" in response.text
    make_user("second@example.com", role="owner", password_hash=hash_password(PASSWORD))
    assert submit(client, "/account/delete", {"typed": owner.email, "password": PASSWORD}).status_code == 303
