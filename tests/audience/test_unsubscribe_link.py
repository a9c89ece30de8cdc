"""The way out of every announcement: asked on GET, done on POST, for people and for mail programs (RFC 8058)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.audience.services import delete_user
from campaigns.audience.unsubscribe_links import read_unsubscribe_token, unsubscribe_token
from campaigns.clock import utcnow
from campaigns.config import Settings, current_settings
from campaigns.extensions import db
from campaigns.links import public_url
from tests.pages import forms_of, submit
from tests.people import make_user, make_users
from tests.stopwatch import Stopwatch

ONE_CLICK = "List-Unsubscribe=One-Click"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.fixture
def reader(app: Flask) -> User:
    """Han gets announcements, in English."""
    return make_user("haneul@example.com", name="Haneul", language="en")


def path_for(user_id: int, campaign_id: int = 7) -> str:
    return f"/p/u/{unsubscribe_token(current_settings().secret_key, user_id, campaign_id)}"


def is_subscribed(user: User) -> bool:
    db.session.expire_all()
    return db.session.get_one(User, user.id).unsubscribed_at is None


def one_click(client: FlaskClient, path: str, **options: object) -> object:
    """POST as a mail program does: no cookie, no token of a form."""
    kind = {"content_type": "application/x-www-form-urlencoded", "data": ONE_CLICK}
    return client.application.test_client(use_cookies=False).post(path, **{**kind, **options})


def test_opening_the_link_asks_and_changes_nothing(client: FlaskClient, reader: User) -> None:
    for _ in range(5):
        page = client.get(path_for(reader.id))
        assert page.status_code == 200
        assert "Stop announcements from" in page.text
        assert 'method="post"' in page.text
    assert is_subscribed(reader)


@pytest.mark.both_databases
def test_the_link_of_somebody_deleted_never_opens_the_next_person(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    delete_user(reader.id, keep_out=False)
    newcomer = make_user("new@example.com")
    assert "n…@example.com" not in client.get(path).text
    one_click(client, path)
    assert is_subscribed(newcomer)


def test_the_page_masks_the_address(client: FlaskClient, reader: User) -> None:
    for page in (client.get(path_for(reader.id)), client.post(path_for(reader.id))):
        assert "han…@example.com" in page.text
        assert "haneul@example.com" not in page.text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_looking_without_reading_changes_nothing(client: FlaskClient, reader: User, method: str) -> None:
    assert client.open(path_for(reader.id), method=method).status_code == 200
    assert is_subscribed(reader)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused(client: FlaskClient, reader: User, method: str) -> None:
    assert client.open(path_for(reader.id), method=method).status_code == 405
    assert is_subscribed(reader)


def test_the_button_unsubscribes_at_once(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    done = submit(client, path, {}, action=path)
    assert done.status_code == 200
    assert "You are unsubscribed" in done.text
    assert "Receive again" in done.text
    assert not is_subscribed(reader)


@pytest.mark.both_databases
def test_one_click_needs_neither_cookie_nor_token_and_is_not_redirected(client: FlaskClient, reader: User) -> None:
    answer = one_click(client, path_for(reader.id))
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert not is_subscribed(reader)


@pytest.mark.parametrize(
    "options",
    [
        {"content_type": "multipart/form-data; boundary=x", "data": MULTIPART},
        {"data": ONE_CLICK + "&utm_source=phone&x=%ff%fe"},
        {"content_type": "multipart/form-data; boundary=x", "data": b"--y\r\nnothing of the sort"},
        {"content_type": "text/plain", "data": b""},
        {"content_type": None, "data": None},
    ],
    ids=["multipart", "unknown keys", "broken multipart", "plain text", "empty"],
)  # fmt: skip
def test_one_click_takes_any_body(client: FlaskClient, reader: User, options: dict[str, object]) -> None:
    assert one_click(client, path_for(reader.id), **options).status_code == 200
    assert not is_subscribed(reader)


def test_one_click_with_the_cookies_of_somebody_logged_in_does_the_same(
    owner_client: FlaskClient, reader: User
) -> None:
    answer = owner_client.post(path_for(reader.id), data=ONE_CLICK, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert not is_subscribed(reader)


def test_repeating_is_harmless_and_keeps_the_first_moment(client: FlaskClient, reader: User) -> None:
    one_click(client, path_for(reader.id))
    db.session.expire_all()
    first = db.session.get_one(User, reader.id).unsubscribed_at
    for campaign_id in (7, 8):
        assert one_click(client, path_for(reader.id, campaign_id)).status_code == 200
    db.session.expire_all()
    assert db.session.get_one(User, reader.id).unsubscribed_at == first


@pytest.mark.both_databases
def test_one_click_is_answered_within_a_second(client: FlaskClient, reader: User) -> None:
    make_users(500)
    one_click(client, path_for(reader.id + 1))
    stopwatch = Stopwatch()
    assert one_click(client, path_for(reader.id)).status_code == 200
    assert stopwatch.seconds < 1


def test_the_link_says_later_that_it_was_used(client: FlaskClient, reader: User) -> None:
    client.post(path_for(reader.id))
    page = client.get(path_for(reader.id))
    assert page.status_code == 200
    assert "You are unsubscribed" in page.text
    assert "Receive again" in page.text


def test_who_pressed_by_mistake_receives_again(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    client.post(path)
    back = submit(client, path, {}, action=f"{path}/again")
    assert (back.status_code, back.location) == (303, path)
    assert is_subscribed(reader)
    page = client.get(path)
    assert "You will get announcements again." in page.text
    assert "Stop announcements from" in page.text


def test_receiving_again_needs_the_forms_own_token(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    client.post(path)
    assert client.post(f"{path}/again").status_code == 400
    assert client.get(f"{path}/again").status_code == 405
    assert not is_subscribed(reader)


def test_receiving_again_promises_nothing_to_a_suppressed_address(client: FlaskClient, reader: User) -> None:
    db.session.add(Suppression(address_key=reader.address_key, reason="hard_bounce"))
    db.session.commit()
    path = path_for(reader.id)
    client.post(path)
    submit(client, path, {}, action=f"{path}/again")
    assert "Write to the sender if none come" in client.get(path).text
    assert db.session.get(Suppression, reader.address_key)


FORGED = ["x", "%20", "AAAA", "A" * 35, "A" * 4000, "..%2f..", "한글", "%00", "=" * 8, "a.b.c", "-_-_-_"]


@pytest.mark.parametrize("token", FORGED)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_forged_link_gets_404_and_never_an_error(client: FlaskClient, reader: User, token: str, method: str) -> None:
    assert client.open(f"/p/u/{token}", method=method).status_code in {404}
    assert client.post(f"/p/u/{token}/again").status_code in {400, 404}
    assert is_subscribed(reader)


def test_the_page_for_a_broken_link_tells_how_to_reach_the_sender(client: FlaskClient, reader: User) -> None:
    page = client.get(path_for(reader.id)[:-3])
    assert page.status_code == 404
    assert "mailto:carillon@carillon.example.test" in page.text


def test_no_character_of_a_link_can_be_changed(client: FlaskClient, reader: User) -> None:
    token = path_for(reader.id).removeprefix("/p/u/")
    other = path_for(reader.id + 1).removeprefix("/p/u/")
    assert client.post(f"/p/u/{other[:13]}{token[13:]}").status_code == 404
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        found = read_unsubscribe_token(changed)
        assert found in (None, (reader.id, 7)), place
    assert is_subscribed(reader)


def test_a_link_made_with_another_key_is_forged(client: FlaskClient, reader: User) -> None:
    assert client.post(f"/p/u/{unsubscribe_token('another key', reader.id, 7)}").status_code == 404
    assert is_subscribed(reader)


def test_a_link_made_with_an_older_key_of_this_site_still_works(settings: Settings, reader: User) -> None:
    token = path_for(reader.id)
    renewed = create_app(replace(settings, secret_key="a-newer-key", secret_key_fallbacks=(settings.secret_key,)))
    assert renewed.test_client().post(token).status_code == 200
    assert not is_subscribed(reader)
    with renewed.app_context():
        db.engine.dispose()
    renewed.extensions["celery"].close()


def test_somebody_deleted_is_told_that_nothing_comes(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    db.session.delete(reader)
    db.session.commit()
    for page in (client.get(path), one_click(client, path)):
        assert page.status_code == 200
        assert "이 주소는 이미 삭제되어" in page.text  # in the language of the site, since theirs is gone
    assert [form["action"] for form in forms_of(client.get(path).text)] == ["/language"]


@pytest.mark.parametrize(("own", "expected"), [("ko", "ko"), ("en", "en"), (None, "ko"), ("xx", "ko")])
def test_the_page_speaks_the_recipients_language_else_the_sites(app: Flask, own: str | None, expected: str) -> None:
    person = make_user("someone@example.com", language=own)
    browser = app.test_client()
    answers = [
        browser.get(path_for(person.id), headers={"Accept-Language": "fr, en;q=0.5"}),
        browser.post(path_for(person.id), headers={"Accept-Language": "fr, en;q=0.5"}),
    ]
    assert [f'<html lang="{expected}"' in answer.text for answer in answers] == [True, True]


def test_the_switch_on_the_page_changes_its_language(client: FlaskClient, reader: User) -> None:
    path = path_for(reader.id)
    assert submit(client, path, {"language": "ko"}, action="/language").location == path
    assert '<html lang="ko"' in client.get(path).text


def test_the_address_in_mails_is_this_page(app: Flask, client: FlaskClient, reader: User) -> None:
    token = unsubscribe_token(current_settings().secret_key, reader.id, 7)
    assert public_url("audience.unsubscribe", token=token) == f"http://carillon.example.test/p/u/{token}"


def test_answers_are_kept_by_nobody_and_lead_nowhere(client: FlaskClient, reader: User) -> None:
    page = client.get(path_for(reader.id))
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert '<meta name="robots" content="noindex">' in page.text


def test_people_who_had_unsubscribed_before_are_told_so(client: FlaskClient, app: Flask) -> None:
    person = make_user("gone@example.com", language="en", unsubscribed_at=utcnow())
    assert "You are unsubscribed" in client.get(path_for(person.id)).text
