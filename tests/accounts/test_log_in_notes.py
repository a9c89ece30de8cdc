"""What the activity log says of log-ins: those of people with a role, that went well or did not; nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import RefusedLogin, User
from campaigns.accounts.tasks import record_refused_logins
from campaigns.audit.models import AuditEntry
from campaigns.clock import utcnow
from campaigns.extensions import db
from tests.pages import submit
from tests.people import PASSWORD, make_user


def entries() -> list[tuple[str, str, str]]:
    db.session.expire_all()
    return [(e.action, e.target, e.reason) for e in db.session.query(AuditEntry).order_by(AuditEntry.id)]


def refusals() -> list[AuditEntry]:
    db.session.expire_all()
    return list(db.session.scalars(select(AuditEntry).where(AuditEntry.action == "login.refused")))


def kept() -> list[RefusedLogin]:
    db.session.expire_all()
    return list(db.session.scalars(select(RefusedLogin)))


@pytest.mark.both_databases
def test_refused_passwords_of_people_with_a_role_are_noted(
    owner: User, client: FlaskClient, owner_client: FlaskClient
) -> None:
    make_user("reader@example.com", password=True)
    began = utcnow().replace(microsecond=0)
    for address in (owner.email, "reader@example.com", "nobody@example.com", "no address"):
        assert submit(client, "/login", {"email": address, "password": "wrong password"}).status_code == 422
    # The same work for everybody: what differs happens where nobody can time it.
    assert len(kept()) == 4
    assert refusals() == []
    for _ in range(2):
        record_refused_logins()
    assert kept() == []
    (refused,) = refusals()
    assert (refused.target, refused.reason, refused.ip) == (owner.email, "password", "127.0.0.1")
    tried_at = datetime.strptime(refused.after["tried_at"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert began <= tried_at <= utcnow()
    assert "Tried at" in owner_client.get("/audit", headers={"Accept-Language": "en"}).text


def test_log_ins_of_people_with_a_role_are_noted(owner: User, client: FlaskClient) -> None:
    make_user("reader@example.com", password=True)
    submit(client, "/login", {"email": "reader@example.com", "password": PASSWORD})
    client.delete_cookie("carillon")
    submit(client, "/login", {"email": owner.email, "password": PASSWORD})
    assert entries() == [("login.began", owner.email, "")]
    began = db.session.query(AuditEntry).filter_by(action="login.began").one()
    assert (began.actor_id, began.actor, began.ip) == (owner.id, owner.email, "127.0.0.1")
