"""What is stored lies over the environment, is seen by every process soon, and harms nothing when it cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from app import create_app
from campaigns.config import current_settings, load_settings
from campaigns.delivery.rates import current_rates
from campaigns.extensions import db
from campaigns.mail.mail_servers import servers
from campaigns.mail_server_urls import MailServerUrl
from campaigns.stored_settings import StoredSetting, refresh_settings
from tests.parts import wait_until
from tests.settings.storing import store, store_and_look, store_servers

RELAY = MailServerUrl("relay.example.com", 587, "starttls", "me", "a-secret-of-the-relay", 3)


@pytest.mark.both_databases
def test_what_is_stored_is_what_everybody_reads(app):
    store_and_look("rates", rate_per_second=14.5, rate_per_domain=[["gmail.com", 20]], batch_size=50)
    assert current_rates().per_second == 14.5
    assert current_rates().per_domain == {"gmail.com": 20.0}
    assert current_settings().batch_size == 50
    assert current_settings().hold_seconds == 60


def test_the_environment_wins(environ):
    app = create_app(load_settings({**environ, "RATE_PER_SECOND": "7", "MAIL_SERVER": "localhost"}))
    with app.app_context():
        store_and_look("rates", rate_per_second=14.5, rate_per_day=1000)
        store_servers(RELAY)
        assert (current_settings().rate_per_second, current_settings().rate_per_day) == (7, 1000)
        assert [server.name for server in servers(current_settings())] == ["localhost:25"]
        assert {"rate_per_second", "mail_servers"} <= current_settings().given


def test_a_page_sees_within_seconds_what_another_process_stored(app, client):
    client.get("/login")
    store("rates", rate_per_second=3)
    wait_until(lambda: client.get("/login") and current_settings().rate_per_second == 3)


def test_trial_mode_ends_with_the_first_server_and_flask_mail_follows(app):
    assert current_settings().trial_mode
    store_servers(RELAY)
    assert not current_settings().trial_mode
    assert (app.config["MAIL_SERVER"], app.config["MAIL_USE_TLS"]) == ("relay.example.com", True)
    assert app.extensions["mail"].server == "relay.example.com"
    store_and_look("mail", mail_servers=[])
    assert current_settings().trial_mode


def test_a_password_is_encrypted_in_the_file_and_read_after_the_key_was_changed(app, settings, database_url):
    store_servers(RELAY)
    files = [
        path for path in Path(database_url.removeprefix("sqlite:///")).parent.glob("test.sqlite*") if path.is_file()
    ]
    assert files
    assert not any(RELAY.password.encode() in path.read_bytes() for path in files)
    renewed = create_app(replace(settings, secret_key="a-newer-key", secret_key_fallbacks=(settings.secret_key,)))
    with renewed.app_context():
        refresh_settings(at_once=True)
        assert current_settings().mail_servers == (RELAY,)


def test_a_password_whose_key_is_gone_is_never_tried(app, settings, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port, "none", "me", "secret"))
    other = create_app(replace(settings, secret_key="another-key"))
    with other.app_context():
        refresh_settings(at_once=True)
        (server,) = current_settings().mail_servers
        assert (server.password, server.password_is_lost, other.config["MAIL_PASSWORD"]) == ("", True, None)
        assert not current_settings().trial_mode


def test_damaged_values_change_nothing(app):
    store_and_look("rates", rate_per_second=5)
    for damaged in ({"rate_per_second": "fast"}, {"rate_per_domain": 5}, {"mail_servers": [{"host": "x"}]}):
        store_and_look("rates", **damaged)
        assert current_settings().rate_per_second == 5
    store_and_look("rates", of_another_version=1, rate_per_second=6)
    assert current_settings().rate_per_second == 6


@pytest.mark.both_databases
def test_without_the_table_the_last_settings_go_on(app):
    store_and_look("rates", rate_per_second=5)
    db.session.execute(text("ALTER TABLE stored_setting RENAME TO away"))
    db.session.commit()
    try:
        refresh_settings(at_once=True)
        assert current_settings().rate_per_second == 5
    finally:
        db.session.execute(text("ALTER TABLE away RENAME TO stored_setting"))
        db.session.commit()
    store_and_look("rates", rate_per_second=8)
    assert current_settings().rate_per_second == 8


def test_looking_again_within_two_seconds_asks_nobody(app):
    asked: list[str] = []
    refresh_settings(at_once=True)
    db.event.listen(db.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    for _ in range(100):
        refresh_settings()
    assert asked == []
    refresh_settings(at_once=True)
    assert len(asked) == 1
    assert StoredSetting.__tablename__ in asked[0]
