"""One person: added, looked at, changed, kept out, given a role, deleted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import LoginSession, User
from campaigns.audience import services
from campaigns.audience.models import Suppression, SuppressionReason
from campaigns.audience.queries import get_user
from campaigns.clock import utcnow
from campaigns.extensions import db
from tests.pages import submit
from tests.people import make_user


@pytest.fixture
def person(app: Flask) -> User:
    return make_user("han@example.com", name="김하늘", language="ko", attributes={"city": "서울", "points": 3})


def again(user: User) -> User:
    db.session.expire_all()
    return db.session.get_one(User, user.id)


def suppression_of(user: User) -> Suppression | None:
    db.session.expire_all()
    return db.session.get(Suppression, user.address_key)


def find(address: str) -> User | None:
    db.session.expire_all()
    return db.session.query(User).filter_by(address_key=address).one_or_none()


# Adding


@pytest.mark.both_databases
def test_a_person_is_added_who_receives_because_they_agreed(owner_client: FlaskClient) -> None:
    fields = {"email": " New.Person@Example.com ", "name": "  Nora\u0020 New ", "language": "en", "agreed": "y"}
    added = submit(owner_client, "/users/new", fields)
    user = find("new.person@example.com")
    assert user
    assert (added.status_code, added.location) == (303, f"/users/{user.id}")
    assert (user.email, user.name, user.language) == ("New.Person@example.com", "Nora New", "en")
    assert user.verified_at
    page = owner_client.get(added.location).text
    assert "The user has been added." in page
    assert "Gets every announcement." in page


def test_without_consent_a_person_is_added_and_gets_nothing(owner_client: FlaskClient) -> None:
    submit(owner_client, "/users/new", {"email": "quiet@example.com"})
    user = find("quiet@example.com")
    assert user
    assert user.verified_at is None
    assert (user.password_hash, user.role, user.language, user.attributes) == (None, None, None, {})
    assert "nobody has verified" in owner_client.get(f"/users/{user.id}").text


@pytest.mark.both_databases
def test_a_known_address_is_not_added_twice_and_leads_to_its_person(owner_client: FlaskClient, person: User) -> None:
    refused = submit(owner_client, "/users/new", {"email": "HAN@example.com", "name": "Other"})
    assert refused.status_code == 422
    assert "This address belongs to a user already." in refused.text
    assert f'href="/users/{person.id}"' in refused.text
    assert 'value="Other"' in refused.text
    assert again(person).name == "김하늘"


@pytest.mark.parametrize(
    "fields",
    [
        {"email": ""}, {"email": "nobody"}, {"email": "a@b"}, {"email": "a@example.com\r\nBcc: x@example.com"},
        {"email": "a@example.com", "name": "x" * 101}, {"email": "a@example.com", "name": "nul\x00"},
        {"email": "a@example.com", "language": "xx"}, {"email": "a" * 300 + "@example.com"},
    ],
)  # fmt: skip
def test_what_cannot_be_a_person_is_refused_with_the_form(owner_client: FlaskClient, fields: dict[str, str]) -> None:
    before = db.session.query(User).count()
    answer = submit(owner_client, "/users/new", fields)
    assert answer.status_code == 422
    assert "Not added" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert db.session.query(User).count() == before


def test_a_name_keeps_no_line_breaks(owner_client: FlaskClient) -> None:
    submit(owner_client, "/users/new", {"email": "a@example.com", "name": "Ann\r\nBcc: x@example.com"})
    user = find("a@example.com")
    assert user
    assert user.name == "Ann Bcc: x@example.com"


# Looking


def test_the_page_says_what_is_known(owner_client: FlaskClient, person: User) -> None:
    page = owner_client.get(f"/users/{person.id}").text
    for words in ("김하늘", "han@example.com", "city", "서울", "points", "Receiving", "The address was verified on"):
        assert words in page
    assert f'href="/users/{person.id}/mails"' in page


def test_the_page_says_why_nothing_comes_and_since_when(owner_client: FlaskClient, person: User) -> None:
    services.suppress_user(person.id, SuppressionReason.HARD_BOUNCE, detail="550 no such user")
    page = owner_client.get(f"/users/{person.id}").text
    assert "on the suppression list" in page
    assert "The address does not exist." in page
    assert "550 no such user" in page


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_who_may_not_see_addresses_sees_no_persons_page(
    client_with_role: Callable[[str], FlaskClient], person: User, role: str
) -> None:
    assert client_with_role(role).get(f"/users/{person.id}").status_code == 403


def test_a_sender_looks_and_gets_no_buttons(client_with_role: Callable[[str], FlaskClient], person: User) -> None:
    client = client_with_role("sender")
    page = client.get(f"/users/{person.id}").text
    assert "han@example.com" in page
    assert f'action="/users/{person.id}' not in page
    assert f"/users/{person.id}/delete" not in page


# Changing


@pytest.mark.both_databases
def test_name_and_language_are_changed(owner_client: FlaskClient, person: User) -> None:
    path = f"/users/{person.id}"
    saved = submit(owner_client, path, {"name": "Haneul Kim", "language": ""}, action=path)
    assert (saved.status_code, saved.location) == (303, path)
    assert (again(person).name, again(person).language) == ("Haneul Kim", None)
    assert again(person).attributes == {"city": "서울", "points": 3}
    assert "Saved." in owner_client.get(path).text


def test_a_wrong_name_comes_back_with_its_error(owner_client: FlaskClient, person: User) -> None:
    path = f"/users/{person.id}"
    refused = submit(owner_client, path, {"name": "x" * 101}, action=path)
    assert refused.status_code == 422
    assert "Use at most 100 characters." in refused.text
    assert "x" * 101 in refused.text
    assert again(person).name == "김하늘"


@pytest.mark.both_databases
def test_a_person_is_unsubscribed_by_hand_and_comes_back_only_when_they_asked(
    owner_client: FlaskClient, person: User
) -> None:
    path = f"/users/{person.id}"
    assert submit(owner_client, path, {}, action=f"{path}/unsubscribe").status_code == 303
    assert again(person).unsubscribed_at
    assert "Gets no announcements: unsubscribed on" in owner_client.get(path).text
    refused = submit(owner_client, path, {}, action=f"{path}/resume")
    assert refused.status_code == 422
    assert "Only the person can take an unsubscription back." in refused.text
    assert again(person).unsubscribed_at
    assert submit(owner_client, path, {"asked": "y"}, action=f"{path}/resume").status_code == 303
    assert again(person).unsubscribed_at is None


@pytest.mark.both_databases
def test_an_address_is_suppressed_with_a_reason_and_taken_off_again(owner_client: FlaskClient, person: User) -> None:
    path = f"/users/{person.id}"
    fields = {"reason": "complaint", "detail": "Called us.\r\nAngry."}
    assert submit(owner_client, path, fields, action=f"{path}/suppress").status_code == 303
    suppression = suppression_of(person)
    assert suppression
    assert (suppression.reason, suppression.detail) == ("complaint", "Called us. Angry.")
    assert "The person reported spam." in owner_client.get(path).text
    assert submit(owner_client, path, {}, action=f"{path}/lift").status_code == 303
    assert suppression_of(person) is None


def test_the_first_reason_of_a_suppression_stays(person: User) -> None:
    services.suppress_user(person.id, SuppressionReason.HARD_BOUNCE, detail="first")
    services.suppress_user(person.id, SuppressionReason.BY_HAND, detail="second")
    suppression = suppression_of(person)
    assert suppression
    assert suppression.detail == "first"
    assert services.lift_suppression(person.id)
    assert not services.lift_suppression(person.id)


@pytest.mark.parametrize("fields", [{"reason": "weather"}, {"reason": "by_hand", "detail": "x" * 301}])
def test_a_suppression_needs_a_known_reason_and_a_short_note(
    owner_client: FlaskClient, person: User, fields: dict[str, str]
) -> None:
    path = f"/users/{person.id}"
    assert submit(owner_client, path, fields, action=f"{path}/suppress").status_code == 422
    assert suppression_of(person) is None


# Roles


def test_roles_are_given_and_changed_in_the_team_and_this_page_leads_there(
    owner_client: FlaskClient, person: User, client_with_role: Callable[[str], FlaskClient]
) -> None:
    path = f"/users/{person.id}"
    assert f'href="/team/invite?user={person.id}"' in owner_client.get(path).text
    form = owner_client.get(f"/team/invite?user={person.id}").text
    for words in ("han@example.com", "김하늘"):
        assert f'value="{words}"' in form
    member = make_user("mia@example.com", role="editor")
    assert f'href="/team/{member.id}"' in owner_client.get(f"/users/{member.id}").text
    assert "/team/invite" not in client_with_role("sender").get(path).text
    page = owner_client.get(path).text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert owner_client.post(f"{path}/role", data={"role": "owner", "csrf_token": token}).status_code == 404


# Deleting


def test_deleting_asks_first(owner_client: FlaskClient, person: User) -> None:
    page = owner_client.get(f"/users/{person.id}/delete")
    assert "This cannot be undone." in page.text
    assert again(person)


@pytest.mark.both_databases
def test_a_person_is_deleted_with_their_log_ins(
    owner_client: FlaskClient, person: User, client_of: Callable[[User], FlaskClient]
) -> None:
    client_of(person)
    user_id = person.id
    done = submit(owner_client, f"/users/{user_id}/delete", {}, action="")
    assert (done.status_code, done.location) == (303, "/users")
    assert find("han@example.com") is None
    assert db.session.query(LoginSession).filter_by(user_id=user_id).count() == 0
    assert db.session.get(Suppression, "han@example.com") is None
    assert owner_client.get(f"/users/{user_id}").status_code == 404


def test_who_had_unsubscribed_stays_out_unless_somebody_decides_otherwise(owner_client: FlaskClient) -> None:
    gone = make_user("gone@example.com", unsubscribed_at=utcnow())
    submit(owner_client, f"/users/{gone.id}/delete", {"keep_out": "y"})
    kept = db.session.get(Suppression, "gone@example.com")
    assert kept
    assert kept.reason == "unsubscribed"
    back = make_user("gone@example.com", name="Back")
    assert "Unsubscribed, and deleted since." in owner_client.get(f"/users/{back.id}").text


def test_keeping_out_is_ticked_for_those_who_unsubscribed(owner_client: FlaskClient, person: User) -> None:
    gone = make_user("gone@example.com", unsubscribed_at=utcnow())
    assert " checked" in owner_client.get(f"/users/{gone.id}/delete").text
    assert " checked" not in owner_client.get(f"/users/{person.id}/delete").text


@pytest.mark.both_databases
def test_people_with_a_role_are_not_deleted(owner_client: FlaskClient, owner: User) -> None:
    refused = submit(owner_client, f"/users/{owner.id}/delete", {}, action="")
    assert refused.status_code == 422
    assert "Take the role away first." in refused.text
    assert again(owner)
    assert f"/users/{owner.id}/delete" not in owner_client.get(f"/users/{owner.id}").text


@pytest.mark.parametrize("what", ["", "/unsubscribe", "/resume", "/suppress", "/lift", "/delete"])
def test_nobody_there_is_a_page_that_does_not_exist(owner_client: FlaskClient, person: User, what: str) -> None:
    page = owner_client.get(f"/users/{person.id}").text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    for number in ("99999", "9" * 25):
        answer = owner_client.post(f"/users/{number}{what}", data={"csrf_token": token, "role": "viewer"})
        assert answer.status_code == 404


def test_the_number_of_a_person_may_be_any(app: Flask, person: User) -> None:
    assert get_user(person.id).email == "han@example.com"
