"""The owner says in the browser whose role needs two steps, and locks out nobody by that, least of all themselves."""

from __future__ import annotations

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import create_app
from campaigns.accounts.models import SecondFactor, User
from campaigns.audit.models import AuditEntry
from campaigns.config import current_settings, load_settings
from campaigns.extensions import db
from campaigns.secrets_at_rest import decrypt
from tests.pages import submit
from tests.people import PASSWORD, log_in, make_user
from tests.settings.storing import store_and_look

PAGE = "/settings/logins"


def require(client: FlaskClient, least: str) -> int:
    return submit(client, PAGE, {"two_step_required_from": least}, action=PAGE).status_code


def set_up_two_steps(client: FlaskClient, person: User) -> None:
    submit(client, "/account/two-step", {"password": PASSWORD})
    secret = decrypt(db.session.get_one(SecondFactor, person.id).secret)
    assert submit(client, "/account/two-step", {"code": pyotp.TOTP(secret).now()}).status_code == 200


@pytest.mark.both_databases
def test_whoever_has_no_second_step_is_led_to_it_and_comes_back(
    app: Flask, owner: User, owner_client: FlaskClient
) -> None:
    editor = log_in(app, make_user("eve@example.com", role="editor", password=True))
    owner_client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "en"
    assert "2 people in the team have no second step." in owner_client.get(PAGE).text
    assert require(owner_client, "admin") == 303
    assert current_settings().two_step_required_from == "admin"
    assert editor.get("/").status_code == 200
    assert owner_client.get(PAGE).location == "/account/two-step"
    set_up_two_steps(owner_client, owner)
    page = owner_client.get(PAGE).text
    assert '<option selected value="admin">Admins and owners</option>' in page
    assert "1 person in the team has no second step." in page
    assert require(owner_client, "nobody") == 303
    noted = select(AuditEntry).where(AuditEntry.action == "settings.changed").order_by(AuditEntry.id)
    changes = db.session.scalars(noted).all()
    assert [(each.before, each.after) for each in changes] == [
        ({"two_step_required_from": "nobody"}, {"two_step_required_from": "admin"}),
        ({"two_step_required_from": "admin"}, {"two_step_required_from": "nobody"}),
    ]


def test_what_the_environment_requires_is_shown_and_cannot_be_changed(environ: dict[str, str]) -> None:
    app = create_app(load_settings({**environ, "TWO_STEP_REQUIRED_FROM": "sender"}))
    with app.app_context():
        client = log_in(app, make_user("ada@example.com", role="owner", password=True, two_step_at=None))
        db.session.get_one(User, 1).two_step_at = db.func.now()
        db.session.commit()
    page = client.get(PAGE, headers={"Accept-Language": "en"}).text
    assert "Senders, admins and owners" in page
    assert "TWO_STEP_REQUIRED_FROM" in page
    assert "<select" not in page
    app.extensions["celery"].close()


def test_a_damaged_value_locks_nobody_out(app: Flask, owner_client: FlaskClient) -> None:
    store_and_look("logins", two_step_required_from="emperor")
    assert current_settings().two_step_required_from == "nobody"
    assert owner_client.get("/").status_code == 200
