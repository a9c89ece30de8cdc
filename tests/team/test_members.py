"""The team: who sees it, who changes whom, coming and going, and the owner who must stay."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.accounts.services import create_admin, delete_account
from campaigns.audience.queries import UserState, in_state
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.team import services
from tests.pages import submit
from tests.people import PASSWORD, make_user

LoggedIn = Callable[[User], FlaskClient]
MakeMember = Callable[..., User]


def fresh(user_id: int) -> User:
    db.session.expire_all()
    return db.session.get_one(User, user_id)


def press(client: FlaskClient, user: User, deed: str, **fields: str) -> int:
    """Press a button of the member's page; its form need not be on the page for who may not press it."""
    token = client.get("/account").text.split('name="csrf_token" value="')[1].split('"')[0]
    return client.post(f"/team/{user.id}/{deed}", data={"csrf_token": token, **fields}).status_code


def test_the_list_shows_role_second_step_and_last_visit(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    member("sender")
    make_user("reader@example.com", name="Reader")
    page = logged_in(owner).get("/team").text
    for words in ("Ada", "ada@example.com", "Owner", "sender@example.org", "Never", "Last visit", "Two-step log-in"):
        assert words in page
    assert "reader@example.com" not in page


def test_the_roles_are_a_table_in_words(member: MakeMember, logged_in: LoggedIn) -> None:
    page = logged_in(member("sender")).get("/team/roles").text
    row = page.split("Launch, pause, resume and cancel campaigns")[1].split("</tr>")[0]
    assert row.count(">Yes<") + row.count("Yes</td>") >= 3
    assert row.count("No</span>") == 2
    assert 'scope="row"' in page
    assert 'scope="col"' in page


def test_a_sender_sees_the_team_and_changes_nothing(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    client, editor = logged_in(member("sender")), member("editor")
    page = client.get(f"/team/{editor.id}").text
    assert "<select" not in page
    assert press(client, editor, "role", role="viewer") == 403
    assert press(client, editor, "deactivate") == 403
    assert fresh(editor.id).role == "editor"


def test_an_admin_changes_roles_up_to_the_own(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    admin, editor = member("admin"), member("editor")
    client = logged_in(admin)
    assert '<option value="owner"' not in client.get(f"/team/{editor.id}").text
    assert press(client, editor, "role", role="admin") == 303
    assert fresh(editor.id).role == "admin"
    assert press(client, editor, "role", role="owner") == 422
    assert press(client, editor, "role", role="viewer") == 303
    assert fresh(editor.id).role == "viewer"


@pytest.mark.parametrize("deed", ["role", "deactivate", "logins/end-all", "two-step/remove"])
def test_an_admin_does_not_touch_an_owner(owner: User, member: MakeMember, logged_in: LoggedIn, deed: str) -> None:
    make_user("second@example.com", role="owner")
    assert press(logged_in(member("admin")), owner, deed, role="viewer") == 403
    assert (fresh(owner.id).role, fresh(owner.id).deactivated_at) == ("owner", None)


def test_nobody_raises_themselves(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    admin = member("admin")
    assert press(logged_in(admin), admin, "role", role="owner") == 422
    assert fresh(admin.id).role == "admin"
    with pytest.raises(UserError):
        services.change_role(admin.id, services.Role.OWNER, by=admin)


def test_an_owner_makes_and_unmakes_owners(
    owner: User, member: MakeMember, logged_in: LoggedIn, deeds: Callable[[], list[str]]
) -> None:
    client, admin = logged_in(owner), member("admin")
    assert press(client, admin, "role", role="owner") == 303
    assert press(client, admin, "role", role="sender") == 303
    assert fresh(admin.id).role == "sender"
    assert deeds() == ["user.role_changed", "user.role_changed"]


def test_the_last_owner_can_neither_step_down_nor_be_deactivated_nor_leave(
    owner: User, member: MakeMember, logged_in: LoggedIn
) -> None:
    client = logged_in(owner)
    assert press(client, owner, "role", role="admin") == 422
    assert press(client, owner, "deactivate") == 422
    page = client.get("/account/delete")
    assert page.status_code == 200
    with pytest.raises(UserError):
        delete_account(owner.id, password=PASSWORD)
    with pytest.raises(UserError):
        create_admin(owner.email, role="viewer")
    with pytest.raises(UserError):
        services.deactivate(owner.id, by=None)
    assert (fresh(owner.id).role, fresh(owner.id).deactivated_at) == ("owner", None)


def test_an_owner_who_is_deactivated_does_not_count_as_one(owner: User) -> None:
    second = make_user("second@example.com", role="owner", password=True)
    services.deactivate(second.id, by=owner)
    with pytest.raises(UserError):
        services.change_role(owner.id, None, by=None)
    services.reactivate(second.id, by=owner)
    services.change_role(owner.id, None, by=None)
    assert fresh(owner.id).role is None


@pytest.mark.both_databases
@pytest.mark.parametrize("deed", ["step_down", "deactivate", "delete"])
def test_two_owners_who_go_at_once_do_not_leave_nobody(app: Flask, owner: User, deed: str) -> None:
    second = make_user("second@example.com", role="owner", password=True)
    ids, refused = (owner.id, second.id), []
    start = threading.Barrier(2)

    def go(user_id: int, other_id: int) -> None:
        with app.app_context(), app.test_request_context():
            try:
                other = db.session.get_one(User, other_id)
                start.wait()
                if deed == "step_down":
                    services.change_role(user_id, None, by=None)
                elif deed == "deactivate":
                    services.deactivate(user_id, by=other)
                else:
                    delete_account(user_id, password=PASSWORD)
            except UserError:
                refused.append(user_id)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=go, args=pair) for pair in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    db.session.expire_all()
    assert db.session.query(User).filter_by(role="owner", deactivated_at=None).count() == 1


def test_a_deactivated_person_is_out_at_once_and_told_what_everybody_is_told(
    owner: User, member: MakeMember, logged_in: LoggedIn, client: FlaskClient
) -> None:
    editor = member("editor")
    theirs, owners = logged_in(editor), logged_in(owner)
    assert press(owners, editor, "deactivate") == 303
    assert theirs.get("/campaigns").location.startswith("/login")
    refused = submit(client, "/login", {"email": editor.email, "password": PASSWORD})
    unknown = submit(client, "/login", {"email": "nobody@example.com", "password": PASSWORD})
    assert (refused.status_code, unknown.status_code) == (422, 422)
    words = "The address or the password is wrong, or the account cannot be used"
    assert words in refused.text
    assert words in unknown.text
    assert "Deactivated" in owners.get("/team").text
    assert press(owners, editor, "role", role="viewer") == 422
    assert press(owners, editor, "reactivate") == 303
    assert submit(client, "/login", {"email": editor.email, "password": PASSWORD}).status_code == 303


def test_a_log_in_that_waits_for_its_code_ends_with_the_deactivation_too(
    owner: User, member: MakeMember, client: FlaskClient
) -> None:
    editor = member("editor", two_step_at=None)
    editor.two_step_at = editor.created_at
    db.session.commit()
    assert submit(client, "/login", {"email": editor.email, "password": PASSWORD}).location.startswith("/login/code")
    services.deactivate(editor.id, by=owner)
    assert client.get("/login/code").status_code == 303


def test_a_new_password_does_not_let_a_deactivated_person_in(
    owner: User, member: MakeMember, client: FlaskClient
) -> None:
    editor = member("editor")
    services.deactivate(editor.id, by=owner)
    assert fresh(editor.id).has_account
    assert not fresh(editor.id).can_log_in


@pytest.mark.parametrize("receives", [True, False])
def test_deactivation_leaves_announcements_as_they_were(owner: User, member: MakeMember, receives: bool) -> None:
    editor = member("editor", unsubscribed_at=None if receives else owner.created_at)
    services.deactivate(editor.id, by=owner)
    active = db.session.query(User.id).filter(in_state(UserState.ACTIVE), User.id == editor.id).count()
    assert active == receives


def test_an_admin_sees_and_ends_the_log_ins_of_a_member(
    owner: User, member: MakeMember, logged_in: LoggedIn, deeds: Callable[[], list[str]]
) -> None:
    editor = member("editor")
    first, second = logged_in(editor), logged_in(editor)
    client = logged_in(member("admin"))
    page = client.get(f"/team/{editor.id}").text
    assert page.count("/logins/") == 3
    login_id = page.split(f"/team/{editor.id}/logins/")[2].split("/")[0]
    assert press(client, editor, f"logins/{login_id}/end") == 303
    assert [each.get("/account").status_code for each in (first, second)].count(303) == 1
    assert press(client, editor, "logins/end-all") == 303
    assert [each.get("/account").status_code for each in (first, second)] == [303, 303]
    assert deeds() == ["login.ended", "user.logins_ended"]


def test_log_ins_of_owners_are_not_shown_to_admins(owner: User, member: MakeMember, logged_in: LoggedIn) -> None:
    logged_in(owner)
    page = logged_in(member("admin")).get(f"/team/{owner.id}").text
    assert "Where this person is logged in" not in page


def test_a_person_without_a_role_has_no_page_in_the_team(owner: User, logged_in: LoggedIn) -> None:
    reader = make_user("reader@example.com", password=True)
    client = logged_in(owner)
    assert client.get(f"/team/{reader.id}").status_code == 404
    assert client.get("/team/99999999999999999999").status_code == 404
    assert press(client, reader, "deactivate") == 404


def test_who_changed_meanwhile_is_not_changed_blindly(app: Flask, owner: User, member: MakeMember) -> None:
    editor, admin = member("editor"), member("admin")
    assert editor.role == "editor"  # read in this transaction, as a request has
    with app.app_context():
        services.change_role(editor.id, services.Role.OWNER, by=None)
        db.session.remove()
    with pytest.raises(UserError):
        services.change_role(editor.id, services.Role.VIEWER, by=admin)
    assert fresh(editor.id).role == "owner"
