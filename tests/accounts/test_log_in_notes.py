"""What the activity log says of log-ins: those of people with a role, that went well or did not; nobody else's."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.extensions import db
from tests.pages import submit
from tests.people import PASSWORD, make_user


def entries() -> list[tuple[str, str, str]]:
    db.session.expire_all()
    return [(e.action, e.target, e.reason) for e in db.session.query(AuditEntry).order_by(AuditEntry.id)]


def test_log_ins_of_people_with_a_role_are_noted_and_so_are_refusals(
    owner: User, client: FlaskClient, run_queued: Callable[..., list[str]]
) -> None:
    make_user("reader@example.com", password=True)
    for address in (owner.email, "reader@example.com", "nobody@example.com", "no address"):
        assert submit(client, "/login", {"email": address, "password": "wrong password"}).status_code == 422
    # The same work for everybody: what differs happens where nobody can time it.
    assert run_queued() == ["accounts.note_refused_login"] * 4
    assert entries() == [("login.refused", owner.email, "password")]
    refused = db.session.query(AuditEntry).one()
    assert refused.ip == "127.0.0.1"
    submit(client, "/login", {"email": "reader@example.com", "password": PASSWORD})
    client.delete_cookie("carillon")
    submit(client, "/login", {"email": owner.email, "password": PASSWORD})
    assert entries()[1:] == [("login.began", owner.email, "")]
    began = db.session.query(AuditEntry).filter_by(action="login.began").one()
    assert (began.actor_id, began.actor, began.ip) == (owner.id, owner.email, "127.0.0.1")
