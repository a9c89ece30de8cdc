"""Mail servers are added, changed and removed in the browser; their passwords go in and never come out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from app import create_app
from campaigns.audit.models import AuditEntry
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.mail.mail_servers import servers
from campaigns.mail_server_urls import MailServerUrl
from campaigns.secrets_at_rest import decrypt
from campaigns.settings.server_services import renew_passwords, stored_entries
from campaigns.site import Site
from campaigns.stored_settings import read_servers
from tests.delivery.campaigns import launch_and_freeze
from tests.pages import forms_of, submit
from tests.people import PASSWORD, make_users
from tests.settings.storing import store_servers

SECRET = "never-to-be-seen-again"
RELAY = {
    "host": "relay.example.com",
    "tls": "starttls",
    "port": "",
    "username": "me",
    "password": SECRET,
    "weight": "3",
}
WITH_LOGIN = MailServerUrl("relay.example.com", 587, "starttls", "me", SECRET, 3)


@pytest.fixture(autouse=True)
def site(app) -> None:
    db.session.add(Site(id=1, name="Dawn", language="en", sender_address="news@example.com"))
    db.session.commit()


def entries() -> list[AuditEntry]:
    return list(db.session.scalars(select(AuditEntry).where(AuditEntry.target_id == "mail").order_by(AuditEntry.id)))


@pytest.mark.both_databases
def test_a_server_is_added_changed_and_removed(app, owner_client):
    assert "Trial mode" in owner_client.get("/settings/mail").text
    assert "This ends trial mode" in owner_client.get("/settings/mail/add").text
    assert submit(owner_client, "/settings/mail/add", RELAY).status_code == 303
    assert current_settings().mail_servers == (WITH_LOGIN,)

    second = {**RELAY, "host": "relay2.example.com", "tls": "tls", "username": "", "password": ""}
    assert submit(owner_client, "/settings/mail/add", second).status_code == 303
    assert submit(owner_client, "/settings/mail/0", {"weight": "1", "password": ""}).status_code == 303
    assert [each.name for each in current_settings().mail_servers] == [
        "relay.example.com:587",
        "relay2.example.com:465",
    ]
    assert current_settings().mail_servers[0] == replace(WITH_LOGIN, weight=1), "the password has stayed"

    assert submit(owner_client, "/settings/mail/0/remove", {}, action="").status_code == 303
    assert [each.host for each in current_settings().mail_servers] == ["relay2.example.com"]
    assert submit(owner_client, "/settings/mail/0/remove", {}, action="").status_code == 422, (
        "the last one has to be ticked"
    )
    assert submit(owner_client, "/settings/mail/0/remove", {"understood": "y"}, action="").status_code == 303
    assert current_settings().trial_mode


def test_bdat_is_chosen_for_one_server(app, owner_client):
    submit(owner_client, "/settings/mail/add", RELAY)
    submit(owner_client, "/settings/mail/add", {**RELAY, "host": "relay2.example.com", "chunking": "y"})
    assert [each.chunking for each in current_settings().mail_servers] == [False, True]
    assert [server.settings.use_chunking for server in servers(current_settings())] == [False, True]
    assert entries()[-1].after["server"].endswith("weight 3, BDAT)")
    shown = re.findall(r'data-l="Contents with">(\w+)<', owner_client.get("/settings/mail").text)
    assert shown == ["DATA", "BDAT"]
    submit(owner_client, "/settings/mail/1", {"password": "", "chunking": None})
    submit(owner_client, "/settings/mail/0", {"password": "", "chunking": "y"})
    assert [each.chunking for each in current_settings().mail_servers] == [True, False]


def test_servers_stored_before_there_was_a_choice_use_data(app):
    store_servers(WITH_LOGIN)
    (stored,) = stored_entries()
    del stored["chunking"]
    assert read_servers([stored]) == (WITH_LOGIN,)


def test_no_page_log_or_file_shows_a_password(app, owner_client, database_url, caplog):
    submit(owner_client, "/settings/mail/add", RELAY)
    submit(owner_client, "/settings/mail/0", {"password": SECRET + "2", "port": "x"})
    submit(owner_client, "/settings/mail/0", {"password": SECRET + "2"})
    for path in ("/settings/mail", "/settings/mail/0", "/settings/mail/0/remove", "/settings"):
        assert SECRET not in owner_client.get(path).text
    assert SECRET not in owner_client.post("/settings/mail/0", data={"host": "", "password": SECRET}).text
    told = [(entry.before, entry.after) for entry in entries()]
    assert [after.get("password") for _before, after in told] == ["set", "changed"]
    assert SECRET not in repr(told)
    assert SECRET not in caplog.text
    assert SECRET not in repr(current_settings())
    for path in Path(database_url.removeprefix("sqlite:///")).parent.glob("test.sqlite*"):
        assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "a b"}, "Enter a host name"),
        ({"host": ""}, "Enter the server"),
        ({"port": "70000"}, "from 1 to 65,535"),
        ({"weight": "0"}, "from 1 to 1,000"),
        ({"tls": "none"}, "not sent without encryption"),
        ({"password": ""}, "Enter the password too"),
        ({"username": ""}, "Enter the user name too"),
    ],
)
def test_what_is_wrong_is_said(app, owner_client, change, words):
    answer = submit(owner_client, "/settings/mail/add", {**RELAY, **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert stored_entries() == []


@pytest.mark.parametrize(
    "change", [{"host": "thief.example.com"}, {"username": "other"}, {"tls": "none", "host": "127.0.0.1"}]
)
def test_a_stored_password_goes_nowhere_else(app, owner_client, change):
    submit(owner_client, "/settings/mail/add", RELAY)
    answer = submit(owner_client, "/settings/mail/0", {**change, "password": ""})
    assert "Type the password again" in answer.text
    assert current_settings().mail_servers == (WITH_LOGIN,)


def test_the_same_server_twice_is_refused(app, owner_client):
    submit(owner_client, "/settings/mail/add", RELAY)
    answer = submit(owner_client, "/settings/mail/add", {**RELAY, "host": "RELAY.example.com"})
    assert "in the list already" in answer.text


def test_of_two_changes_at_once_the_second_is_told(app, owner_client):
    submit(owner_client, "/settings/mail/add", RELAY)
    page = owner_client.get("/settings/mail/0")
    submit(owner_client, "/settings/mail/add", {**RELAY, "host": "relay2.example.com"})
    (fields,) = [form["fields"] for form in forms_of(page.text) if "host" in form["fields"]]
    answer = owner_client.post("/settings/mail/0", data={**fields, "weight": "9"})
    assert answer.status_code == 409
    assert "Somebody else has saved these settings" in answer.text
    assert [each.weight for each in current_settings().mail_servers] == [3, 3]


def test_a_password_whose_key_is_gone_is_said_and_typed_again(app, settings, owner_client):
    submit(owner_client, "/settings/mail/add", RELAY)
    other = create_app(replace(settings, secret_key="another-key"))
    client = other.test_client()
    submit(client, "/login", {"email": "ada@example.com", "password": PASSWORD})
    page = client.get("/settings/mail").text
    assert "A stored password cannot be read any more" in page
    assert "Password lost" in page
    assert "relay.example.com:587" in client.get("/").text, "the dashboard asks for somebody"
    assert "The stored one cannot be read any more." in client.get("/settings/mail/0").text
    submit(client, "/settings/mail/0", {"password": "new"})
    assert other.extensions["carillon.settings"].mail_servers == (replace(WITH_LOGIN, password="new"),)
    assert "Password lost" not in client.get("/settings/mail").text


def test_after_a_night_with_both_keys_the_old_one_may_go(app, settings):
    store_servers(WITH_LOGIN)
    both = create_app(replace(settings, secret_key="newer", secret_key_fallbacks=(settings.secret_key,)))
    with both.app_context():
        assert renew_passwords() == 1
        assert current_settings().mail_servers == (WITH_LOGIN,)
    alone = create_app(replace(settings, secret_key="newer"))
    with alone.app_context():
        assert decrypt(stored_entries()[0]["password"]) == SECRET
        assert renew_passwords() == 0, "without older keys there is nothing to renew"


def test_the_last_server_stays_while_a_campaign_is_under_way(app, owner_client):
    submit(owner_client, "/settings/mail/add", RELAY)
    make_users(1)
    launch_and_freeze()
    refused = submit(owner_client, "/settings/mail/0/remove", {"understood": "y"}, action="")
    assert refused.status_code == 422
    assert "Campaigns are under way" in refused.text
