"""What the environment says stands on the pages with its variable, and cannot be changed there."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from campaigns.audit.models import AuditEntry
from campaigns.config import current_settings
from campaigns.extensions import db
from tests.pages import forms_of


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "HOLD_SECONDS": "33", "RATE_PER_DOMAIN": "gmail.com=20", "MAIL_SERVERS": "smtp://127.0.0.1:2525"}


def test_a_fixed_value_is_shown_and_cannot_be_changed(app, owner_client):
    page = owner_client.get("/settings/safety")
    assert "<code>HOLD_SECONDS</code>" in page.text
    fields = next(form for form in forms_of(page.text) if form["action"] == "/settings/safety")["fields"]
    assert "hold_seconds" not in fields
    owner_client.post("/settings/safety", data={**fields, "hold_seconds": "5", "confirm_from": "9"})
    assert (current_settings().hold_seconds, current_settings().confirm_from) == (33, 9)
    (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "settings.changed"))
    assert (entry.before, entry.after) == ({"confirm_from": 1000}, {"confirm_from": 9})
    assert "gmail.com 20" in owner_client.get("/settings/rates").text


def test_mail_servers_of_the_environment_can_be_tested_only(app, owner_client):
    page = owner_client.get("/settings/mail").text
    assert "127.0.0.1:2525" in page
    assert "MAIL_SERVERS" in page
    assert "/settings/mail/add" not in page
    assert owner_client.get("/settings/mail/add").status_code == 404
    assert owner_client.get("/settings/mail/0").status_code == 404
    assert owner_client.get("/settings/mail/0/remove").status_code == 404
    assert "/settings/mail/0/test" in page
