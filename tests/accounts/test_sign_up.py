"""Somebody signs up, confirms the address, and logs in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.services import deliver_mail
from campaigns.site import Site
from tests.accounts.links import link_in
from tests.pages import submit, without_secrets
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink

RunQueued = Callable[..., list[str]]
pytestmark = pytest.mark.usefixtures("owner")


def sign_up(client: FlaskClient, email: str, password: str = PASSWORD, **fields: str) -> str:
    """Sign up and return what the next page says."""
    response = submit(client, "/signup", {"email": email, "password": password, **fields}, follow_redirects=True)
    assert response.status_code == 200, response.text
    return response.text


def find(email: str) -> User | None:
    db.session.expire_all()
    return db.session.execute(select(User).where(User.address_key == email)).scalar_one_or_none()


@pytest.mark.both_databases
def test_a_person_signs_up_confirms_the_address_and_logs_in(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    page = sign_up(client, "Bomi@Example.com", name="봄이")
    assert "Bomi@example.com" in page
    assert run_queued() == ["mail.send_mail"]
    (mail,) = sink.to("Bomi@example.com")

    path = link_in(mail.text, "/verify")
    assert link_in(mail.html, "/verify") == path
    user = find("bomi@example.com")
    assert user
    assert user.name == "봄이"
    assert user.verified_at is None

    response = submit(client, path, {}, action=path)
    assert response.status_code == 303
    assert find("bomi@example.com").verified_at is not None  # type: ignore[union-attr]
    response = submit(client, "/login", {"email": "bomi@example.com", "password": PASSWORD})
    assert (response.status_code, response.location) == (303, "/account")


def test_opening_the_link_confirms_nothing(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    sign_up(client, "bomi@example.com")
    run_queued()
    path = link_in(sink.to("bomi@example.com")[0].text, "/verify")
    for _ in range(5):
        assert client.get(path).status_code == 200
        assert client.head(path).status_code == 200
    assert find("bomi@example.com").verified_at is None  # type: ignore[union-attr]


def test_a_link_confirms_once_and_is_friendly_the_second_time(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    sign_up(client, "bomi@example.com")
    run_queued()
    path = link_in(sink.to("bomi@example.com")[0].text, "/verify")
    submit(client, path, {}, action=path)
    page = client.get(path)
    assert page.status_code == 200
    assert "nothing more to do" in page.text


def test_an_expired_link_offers_a_new_one(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    sign_up(client, "bomi@example.com")
    run_queued()
    path = link_in(sink.to("bomi@example.com")[0].text, "/verify")
    with freeze(utcnow() + timedelta(hours=25)):
        assert client.get(path).status_code == 410
        response = submit(client, path, {}, action=f"{path}/renew")
        assert response.status_code == 303
        run_queued()
        newer = link_in(sink.to("bomi@example.com")[-1].text, "/verify")
        assert newer != path
        assert submit(client, newer, {}, action=newer).location == "/login"


def test_a_newer_mail_lets_the_older_link_expire(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    sign_up(client, "bomi@example.com")
    run_queued()
    submit(client, "/verify", {"email": "bomi@example.com"})
    run_queued()
    older, newer = (link_in(mail.text, "/verify") for mail in sink.to("bomi@example.com"))
    assert client.get(older).status_code == 410
    assert client.get(newer).status_code == 200


def test_a_forged_or_cut_off_link_is_told_so(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    sign_up(client, "bomi@example.com")
    run_queued()
    path = link_in(sink.to("bomi@example.com")[0].text, "/verify")
    for wrong in (path[:-3], path + "x", "/verify/x", "/verify/" + "a" * 500):
        assert client.get(wrong).status_code == 404
    # A verification link does not open the door of a reset.
    assert client.get(path.replace("/verify/", "/password/reset/")).status_code == 404


def test_somebody_who_is_known_gets_told_by_mail_only(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    make_user("known@example.com", password=True)
    known = sign_up(client, "known@example.com").replace("known@", "x@")
    new = sign_up(client, "new@example.com").replace("new@", "x@")
    assert without_secrets(known) == without_secrets(new)
    run_queued()
    (mail,) = sink.to("known@example.com")
    assert "already have an account" in mail.message["Subject"]
    assert "/verify/" not in mail.text
    assert "/password/reset/" not in mail.text


def test_an_imported_person_gets_a_link_to_set_a_password(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    make_user("imported@example.com", verified=False, name="Old name")
    sign_up(client, "imported@example.com", name="New name")
    run_queued()
    path = link_in(sink.to("imported@example.com")[0].text, "/password/reset")
    assert submit(client, path, {"password": "another long password"}).location == "/login"
    user = find("imported@example.com")
    assert user
    assert user.name == "Old name"
    assert user.can_log_in


def test_nobody_gets_an_account_confirmed_under_a_strangers_password(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    sign_up(client, "victim@example.com", password="the password of a stranger")
    run_queued()
    sign_up(client, "victim@example.com", password="what the victim has chosen")
    run_queued()
    strangers, victims = sink.to("victim@example.com")
    assert client.get(link_in(strangers.text, "/verify")).status_code == 410
    path = link_in(victims.text, "/password/reset")
    submit(client, path, {"password": "what the victim has chosen"})
    tried = [
        submit(client, "/login", {"email": "victim@example.com", "password": password}).status_code
        for password in ("the password of a stranger", "what the victim has chosen")
    ]
    assert tried == [422, 303]


def test_the_same_mail_sent_again_carries_the_same_link(client: FlaskClient, sink: Sink) -> None:
    sign_up(client, "bomi@example.com")
    mail_id = db.session.execute(select(OutboxMail.id)).scalar_one()
    sink.content_reply = "451 4.3.0 later"
    deliver_mail(mail_id)
    sink.content_reply = "250 2.0.0 Ok"
    with freeze(utcnow() + timedelta(minutes=1)):
        deliver_mail(mail_id)
        (mail,) = sink.to("bomi@example.com")
        assert client.get(link_in(mail.text, "/verify")).status_code == 200


def test_who_has_not_confirmed_is_reminded_once_after_a_day(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    sign_up(client, "slow@example.com")
    sign_up(client, "quick@example.com")
    run_queued()
    path = link_in(sink.to("quick@example.com")[0].text, "/verify")
    submit(client, path, {}, action=path)
    reminders = db.session.execute(select(OutboxMail.id).where(OutboxMail.kind == "verification_reminder")).scalars()
    for mail_id in reminders.all():
        assert deliver_mail(mail_id) is None  # not due yet
        with freeze(utcnow() + timedelta(hours=24, minutes=1)):
            deliver_mail(mail_id)
    assert len(sink.to("slow@example.com")) == 2
    assert "not finished" in sink.to("slow@example.com")[1].message["Subject"]
    assert len(sink.to("quick@example.com")) == 1


def test_mail_speaks_the_language_of_the_page_it_came_from(
    client: FlaskClient, sink: Sink, run_queued: RunQueued
) -> None:
    korean = {"Accept-Language": "ko"}
    page = client.get("/signup", headers=korean)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token
    data = {"email": "bomi@example.com", "password": PASSWORD, "csrf_token": token.group(1)}
    client.post("/signup", data=data, headers=korean)
    assert db.session.execute(select(OutboxMail.language)).scalar_one() == "ko"
    user = find("bomi@example.com")
    assert user
    assert user.language == "ko"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": "no address"}, "Enter an e-mail address"),
        ({"email": "bomi@localhost"}, "Enter an e-mail address"),
        ({"email": "bomi@example.com\r\nBcc: all@example.com"}, "Enter an e-mail address"),
        ({"email": ""}, "Enter your e-mail address"),
        ({"password": "too short"}, "at least 12"),
        ({"password": "x" * 129}, "at most 128"),
        ({"password": "Passw0rd!2026"}, "first that attackers try"),
        ({"password": "bomi.bomi.2026"}, "based on your address"),
        ({"name": "a\x00b"}, "cannot be shown"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_is_kept(
    client: FlaskClient, fields: dict[str, str], words: str
) -> None:
    given = {"email": "bomi@example.com", "password": PASSWORD, "name": "Bomi <kept>", **fields}
    response = submit(client, "/signup", given)
    assert response.status_code == 422
    assert words in response.text
    assert "Error:" in response.text.split("</title>")[0]
    assert PASSWORD not in response.text
    if "name" not in fields:
        assert "Bomi &lt;kept&gt;" in response.text
    assert db.session.execute(select(OutboxMail)).first() is None


def test_a_name_never_becomes_text_of_a_mail(client: FlaskClient, sink: Sink, run_queued: RunQueued) -> None:
    sign_up(client, "bomi@example.com", name="Win a prize at http://evil.example.org\r\nSubject: x")
    run_queued()
    (mail,) = sink.to("bomi@example.com")
    assert b"prize" not in mail.content
    assert "evil" not in mail.text + mail.html


def test_sign_ups_can_be_closed(client: FlaskClient) -> None:
    db.session.add(Site(id=1, name="Closed", signups_open=False))
    db.session.commit()
    page = client.get("/signup")
    assert page.status_code == 200
    assert "no sign-ups" in page.text
    assert 'name="password"' not in page.text


def test_a_sign_up_works_while_redis_is_away(app: Flask, client: FlaskClient, redis_server: object) -> None:
    redis_server.kill()  # type: ignore[attr-defined]
    try:
        sign_up(client, "bomi@example.com")
    finally:
        redis_server.start()  # type: ignore[attr-defined]
    assert db.session.execute(select(OutboxMail.state)).scalar_one() == OutboxState.WAITING
