"""Asking people into the team by mail: the link acts once, on a press, for a week, and only while the asker may ask."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.addresses import parse_address
from campaigns.accounts.models import User
from campaigns.accounts.queries import find_user
from campaigns.clock import freeze, utcnow
from campaigns.errors import Conflict, Forbidden
from campaigns.extensions import db
from campaigns.security import Role
from campaigns.team import invitations, services
from campaigns.team.models import Invitation
from tests.pages import submit
from tests.people import PASSWORD, make_user
from tests.smtp_sink import Sink

LoggedIn = Callable[[User], FlaskClient]
MakeMember = Callable[..., User]
RunQueued = Callable[..., list[str]]
NEW = "a password of her own"


@pytest.fixture
def invite(sink: Sink, run_queued: RunQueued) -> Callable[..., str]:
    """Invite an address on the page; returns the path of the link in the mail."""

    def ask(client: FlaskClient, address: str, role: str = "sender", *, spelled: str = "", **fields: str) -> str:
        response = submit(client, "/team/invite", {"email": address, "role": role, "language": "en", **fields})
        assert response.status_code == 303, response.text
        run_queued()
        return link_to(sink, spelled or address)

    return ask


def link_to(sink: Sink, address: str) -> str:
    text = sink.to(address)[-1].message.get_body(("plain",)).get_content()
    found = re.search(r"http://carillon\.example\.test(/invite/[\w.-]+)", text)
    assert found, text
    return found.group(1)


def fresh(address: str) -> User | None:
    db.session.expire_all()
    return find_user(address)


def test_somebody_new_is_invited_chooses_a_password_and_has_the_role(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str], deeds: Callable[[], list[str]]
) -> None:
    link = invite(logged_in(owner), "Nora@example.com", "sender", name="Nora")
    page = client.get(link)
    assert page.status_code == 200
    for words in ("Ada", "Sender", "Nora@example.com", 'name="password"'):
        assert words in page.text
    assert fresh("nora@example.com") is None
    assert submit(client, link, {"password": "short"}).status_code == 422
    assert submit(client, link, {"password": NEW}).location == "/login"
    nora = fresh("nora@example.com")
    assert nora
    assert (nora.role, nora.name, nora.can_log_in) == ("sender", "Nora", True)
    assert not nora.wants_announcements
    assert submit(client, "/login", {"email": "nora@example.com", "password": NEW}).location == "/"
    assert deeds() == ["invitation.sent", "invitation.accepted"]


def test_who_has_an_account_keeps_the_password_and_only_presses(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str]
) -> None:
    known = make_user("known@example.com", password=True, name="Known")
    theirs = logged_in(known)
    link = invite(logged_in(owner), "KNOWN@example.com", "editor", spelled="known@example.com")
    page = client.get(link).text
    assert 'name="password"' not in page
    assert submit(client, link, {}, action="").status_code == 303
    user = fresh("known@example.com")
    assert user
    assert (user.role, user.name, user.wants_announcements) == ("editor", "Known", True)
    assert theirs.get("/account").status_code == 303
    assert submit(client, "/login", {"email": "known@example.com", "password": PASSWORD}).status_code == 303


@pytest.mark.parametrize("password", [True, False])
def test_a_password_that_nobody_proved_does_not_get_the_role(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str], password: bool
) -> None:
    make_user("boss@example.com", password=password, verified=False)  # signed up by anybody, or imported
    link = invite(logged_in(owner), "boss@example.com")
    assert 'name="password"' in client.get(link).text
    assert submit(client, link, {"password": NEW}).status_code == 303
    assert submit(client, "/login", {"email": "boss@example.com", "password": PASSWORD}).status_code == 422
    assert submit(client, "/login", {"email": "boss@example.com", "password": NEW}).status_code == 303


def test_reading_the_link_accepts_nothing_and_using_it_twice_neither(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str]
) -> None:
    link = invite(logged_in(owner), "nora@example.com")
    for _ in range(3):
        client.get(link)
        client.head(link)
    assert fresh("nora@example.com") is None
    page = client.get(link).text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    assert client.post(link, data={"csrf_token": token, "password": NEW}).status_code == 303
    again = client.post(link, data={"csrf_token": token, "password": "quite another password"})
    assert "Already accepted" in again.text
    assert submit(client, "/login", {"email": "nora@example.com", "password": NEW}).status_code == 303


@pytest.mark.both_databases
def test_a_link_pressed_twice_at_once_acts_once(app: Flask, owner: User) -> None:
    invitations.invite(parse_address("nora@example.com"), Role.SENDER, name="", language="en", by=owner)
    token = invitations.token_of(db.session.query(Invitation).one())
    accepted: list[int] = []
    start = threading.Barrier(2)

    def press() -> None:
        with app.app_context(), app.test_request_context():
            start.wait()
            try:
                accepted.append(invitations.accept(token, password=NEW).id)
            except Conflict:
                pass
            finally:
                db.session.remove()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 1


def test_after_a_week_the_link_is_dead_and_a_new_mail_has_a_new_one(
    owner: User,
    logged_in: LoggedIn,
    client: FlaskClient,
    invite: Callable[..., str],
    sink: Sink,
    run_queued: RunQueued,
) -> None:
    old = invite(logged_in(owner), "nora@example.com")
    with freeze(utcnow() + timedelta(days=7, minutes=1)):
        assert client.get(old).status_code == 410
        owners = logged_in(owner)
        assert "No longer works" in owners.get("/team").text
        (invitation,) = db.session.query(Invitation)
        submit(owners, "/team", {}, action=f"/team/invitations/{invitation.id}/resend")
        run_queued()
        new = link_to(sink, "nora@example.com")
        assert new != old
        assert client.get(old).status_code == 410
        assert client.get(new).status_code == 200


def test_a_cancelled_invitation_is_dead(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str]
) -> None:
    owners = logged_in(owner)
    link = invite(owners, "nora@example.com")
    assert "nora@example.com" in owners.get("/team").text
    (invitation,) = db.session.query(Invitation)
    assert submit(owners, "/team", {}, action=f"/team/invitations/{invitation.id}/cancel").status_code == 303
    assert client.get(link).status_code == 410
    assert "nora@example.com" not in owners.get("/team").text
    assert client.get(invite(owners, "nora@example.com", "viewer")).status_code == 200


@pytest.mark.parametrize("deed", ["deactivate", "demote"])
def test_the_invitations_of_somebody_who_may_not_invite_any_more_are_dead(
    owner: User, member: MakeMember, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str], deed: str
) -> None:
    admin = member("admin")
    link = invite(logged_in(admin), "nora@example.com")
    if deed == "deactivate":
        services.deactivate(admin.id, by=owner)
    else:
        services.change_role(admin.id, Role.SENDER, by=owner)
    assert client.get(link).status_code == 410
    assert "No longer works" in logged_in(owner).get("/team").text


def test_nobody_invites_above_the_own_role(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    admin = member("admin")
    client = logged_in(admin)
    fields = {"email": "nora@example.com", "role": "owner", "language": "en"}
    assert submit(client, "/team/invite", fields).status_code == 422
    with pytest.raises(Forbidden):
        invitations.invite(parse_address("nora@example.com"), Role.OWNER, name="", language="en", by=admin)
    invitations.invite(parse_address("nora@example.com"), Role.OWNER, name="", language="en", by=owner)
    (invitation,) = db.session.query(Invitation)
    page = client.get("/team").text
    assert "nora@example.com" in page
    assert f"/team/invitations/{invitation.id}/resend" not in page
    with pytest.raises(Forbidden):
        invitations.resend(invitation.id, by=admin)
    with pytest.raises(Forbidden):
        invitations.cancel(invitation.id, by=admin)


def test_who_is_in_the_team_is_not_invited_again(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    member("editor")
    response = submit(
        logged_in(owner), "/team/invite", {"email": "EDITOR@example.org", "role": "viewer", "language": "en"}
    )
    assert response.status_code == 422
    assert "in the team already" in response.text


def test_who_got_a_role_meanwhile_keeps_it(
    owner: User, logged_in: LoggedIn, client: FlaskClient, invite: Callable[..., str]
) -> None:
    known = make_user("known@example.com", password=True)
    link = invite(logged_in(owner), "known@example.com", "owner")
    services.change_role(known.id, Role.VIEWER, by=owner)
    assert submit(client, link, {}, action="").status_code == 303
    user = fresh("known@example.com")
    assert user
    assert user.role == "viewer"


def test_the_mail_speaks_the_language_that_was_chosen(
    owner: User, logged_in: LoggedIn, invite: Callable[..., str], sink: Sink
) -> None:
    invite(logged_in(owner), "nora@example.com", language="ko")
    mail = sink.to("nora@example.com")[-1].message
    assert "초대" in mail.get_body(("plain",)).get_content()
    assert "Ada" in mail.get_body(("html",)).get_content()


@pytest.mark.parametrize("token", ["nothing", "WzEsIngiXQ.aaaa.bbbb"])
def test_a_forged_link_opens_nothing(owner: User, client: FlaskClient, token: str) -> None:
    assert client.get(f"/invite/{token}").status_code == 404
    assert "not complete" in client.get(f"/invite/{token}").text
