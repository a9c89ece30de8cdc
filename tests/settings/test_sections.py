"""Each section is read, changed, refused with words, and logged; what the environment says cannot be changed."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from campaigns.audit.models import AuditEntry
from campaigns.compose.models import Campaign
from campaigns.compose.services import create_campaign
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.mail_server_urls import MailServerUrl
from campaigns.settings.sections import SECTIONS
from campaigns.site import Site
from tests.pages import forms_of, submit
from tests.people import log_in, make_user, make_users
from tests.settings.storing import store_servers

CHANGES = {
    "general": {"name": "새벽 우편", "language": "ko", "timezone": "Europe/Berlin", "postal_address": "Seoul"},
    "senders": {"sender_name": "News", "sender_address": "news@example.com", "reply_to": "answers@example.com"},
    "rates": {
        "rate_per_second": "14.5", "rate_per_day": "50,000", "rate_per_domain": "gmail.com 20\nnaver.com = 10.5",
        "batch_size": "２５０", "give_up_hours": "12", "brake_failed_percent": "5", "brake_after": "100",
    },
    "safety": {"hold_seconds": "120", "confirm_from": "50", "approve_from": "5000"},
    "tracking": {"track_opens": "y", "track_clicks": "y"},
    "retention": {"keep_failures_days": "7", "keep_mails_days": "8", "keep_imports_days": "9",
                  "keep_tracking_days": "30", "keep_attempts_days": "40", "keep_audit_days": "365"},
}  # fmt: skip
STORED = {
    "rate_per_second": 14.5, "rate_per_day": 50_000, "rate_per_domain": (("gmail.com", 20.0), ("naver.com", 10.5)),
    "batch_size": 250, "give_up_hours": 12, "brake_failed_percent": 5, "brake_after": 100, "hold_seconds": 120,
    "confirm_from": 50, "approve_from": 5000, "keep_failures_days": 7, "keep_mails_days": 8, "keep_imports_days": 9,
    "keep_tracking_days": 30, "keep_attempts_days": 40, "keep_audit_days": 365, "track_opens": True,
    "track_clicks": True,
}  # fmt: skip


def entries() -> list[AuditEntry]:
    return list(
        db.session.scalars(select(AuditEntry).where(AuditEntry.action == "settings.changed").order_by(AuditEntry.id))
    )


@pytest.fixture
def site(app) -> Site:
    row = Site(id=1, name="Old name", language="en", sender_address="old@example.com")
    db.session.add(row)
    db.session.commit()
    return row


@pytest.mark.both_databases
@pytest.mark.parametrize("key", CHANGES)
def test_a_section_is_saved_shown_and_logged(app, site, owner_client, key):
    answer = submit(owner_client, f"/settings/{key}", CHANGES[key], action=f"/settings/{key}")
    assert answer.status_code == 303, answer.text
    page = owner_client.get(f"/settings/{key}").text
    assert "Saved." in page or key == "general"
    shown = next(form for form in forms_of(page) if form["action"] == f"/settings/{key}")["fields"]
    for name in CHANGES[key]:
        value = STORED.get(name, CHANGES[key][name])
        assert getattr(current_settings(), name, None) == value or getattr(db.session.get(Site, 1), name) == value
        assert shown[name]
    (entry,) = entries()
    assert (entry.actor, entry.target_kind, entry.target_id) == ("ada@example.com", "setting", key)
    assert set(entry.after) == set(CHANGES[key])

    submit(owner_client, f"/settings/{key}", CHANGES[key], action=f"/settings/{key}")
    assert len(entries()) == 1, "saving the same again changes nothing"


def test_sign_up_is_closed_and_opened(app, site, client, owner_client):
    assert "password" in client.get("/signup").text
    page = owner_client.get("/settings/public")
    fields = next(form for form in forms_of(page.text) if form["action"] == "/settings/public")["fields"]
    fields.pop("signups_open")
    owner_client.post("/settings/public", data=fields)
    assert client.get("/signup").status_code == 200
    assert 'type="password"' not in client.get("/signup").text
    submit(owner_client, "/settings/public", {"signups_open": "y"}, action="/settings/public")
    assert 'type="password"' in client.get("/signup").text


@pytest.mark.parametrize(
    ("key", "fields", "words"),
    [
        ("general", {"name": " "}, "Enter the name of the site."),
        ("general", {"timezone": "Mars/Olympus"}, "Not a valid choice"),
        ("senders", {"sender_address": "nobody"}, "Enter an e-mail address"),
        ("senders", {"reply_to": "a@b\r\nBcc: x@example.com"}, "Enter an e-mail address"),
        ("rates", {"rate_per_second": "fast"}, "Enter a number from 0 to 1,000,000."),
        ("rates", {"rate_per_second": ""}, "Enter a number."),
        ("rates", {"rate_per_domain": "gmail.com"}, "Not clear: gmail.com"),
        ("rates", {"rate_per_domain": "gmail.com 0"}, "Not clear: gmail.com 0"),
        ("rates", {"rate_per_domain": "gmail.com 1\nGMAIL.com 2"}, "Twice: GMAIL.com"),
        ("rates", {"batch_size": "0"}, "Enter a whole number from 1 to 10,000."),
        ("safety", {"hold_seconds": "601"}, "Enter a whole number from 0 to 600."),
        ("safety", {"confirm_from": "-1"}, "Enter a whole number from 1"),
        ("logins", {"two_step_required_from": "emperor"}, "Not a valid choice"),
        ("retention", {"keep_mails_days": "1.5"}, "Enter a whole number from 1 to 36,500."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_saved(app, site, owner_client, key, fields, words):
    before = current_settings()
    answer = submit(owner_client, f"/settings/{key}", fields, action=f"/settings/{key}")
    assert answer.status_code == 422
    assert words in answer.text
    assert current_settings() == before
    assert entries() == []


@pytest.mark.both_databases
def test_the_list_of_what_is_wrong_names_the_field_of_each(app, site, owner_client):
    page = submit(owner_client, "/settings/retention", dict.fromkeys(CHANGES["retention"], "-1")).text
    summary = page[page.index('id="error-summary"') :].partition("</ul>")[0]
    for name, label in [("keep_failures_days", "Failed tasks, days"), ("keep_imports_days", "Imports, days")]:
        assert f'<a href="#{name}"><b>{label}:</b>' in summary


def test_two_people_at_once_lose_nothing(app, site, owner_client):
    other = log_in(app, make_user("grace@example.com", name="Grace", role="owner", password=True))
    mine = next(f for f in forms_of(owner_client.get("/settings/safety").text) if f["action"] == "/settings/safety")
    submit(other, "/settings/safety", {"hold_seconds": "10"}, action="/settings/safety")

    answer = owner_client.post("/settings/safety", data={**mine["fields"], "hold_seconds": "20", "confirm_from": "7"})
    assert answer.status_code == 409
    assert "Somebody else saved these settings" in answer.text
    shown = next(f for f in forms_of(answer.text) if f["action"] == "/settings/safety")["fields"]
    assert (shown["hold_seconds"], shown["confirm_from"]) == ("20", "7")
    assert "<dd>10</dd>" in answer.text, "what the other has saved is shown"
    assert current_settings().hold_seconds == 10

    assert owner_client.post("/settings/safety", data=shown).status_code == 303
    assert (current_settings().hold_seconds, current_settings().confirm_from) == (20, 7)


def test_the_first_save_of_two_at_once_wins(app, site, owner_client):
    fields = next(f for f in forms_of(owner_client.get("/settings/safety").text) if f["action"] == "/settings/safety")
    assert owner_client.post("/settings/safety", data={**fields["fields"], "hold_seconds": "1"}).status_code == 303
    assert owner_client.post("/settings/safety", data={**fields["fields"], "hold_seconds": "2"}).status_code == 409
    assert current_settings().hold_seconds == 1


def test_the_pace_is_said_in_words(app, site, owner_client):
    make_users(280)
    assert "Without a limit" in owner_client.get("/settings/rates").text
    submit(owner_client, "/settings/rates", {"rate_per_second": "1"}, action="/settings/rates")
    assert "(281 people) takes about 5 minutes" in owner_client.get("/settings/rates").text
    submit(owner_client, "/settings/rates", {"rate_per_day": "100"}, action="/settings/rates")
    assert "takes about 2 days" in owner_client.get("/settings/rates").text


def test_a_new_campaign_and_single_mails_take_the_reply_to_address(app, site, owner_client, sink, run_queued):
    submit(owner_client, "/settings/senders", {"reply_to": "answers@example.com"}, action="/settings/senders")
    assert db.session.get(Campaign, create_campaign(created_by_id=None)).reply_to == "answers@example.com"
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    submit(app.test_client(), "/password/forgot", {"email": "ada@example.com"})
    run_queued()
    (mail,) = sink.to("ada@example.com")
    assert mail.message["Reply-To"] == "answers@example.com"


def test_only_owners_see_the_settings(app, site):
    admin = log_in(app, make_user("admin@example.com", role="admin", password=True))
    for path in ("/settings", "/settings/mail", *(f"/settings/{key}" for key in SECTIONS)):
        assert admin.get(path).status_code == 403


def test_the_index_names_every_section(app, owner_client):
    page = owner_client.get("/settings").text
    assert all(f'href="/settings/{key}"' in page for key in SECTIONS)
    assert owner_client.get("/settings/nothing").status_code == 404
