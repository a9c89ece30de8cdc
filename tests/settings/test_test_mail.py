"""A test mail shows all that was said: by a server that takes it, one that refuses, one that is not there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiosmtpd.smtp import AuthResult
from flask import current_app

from campaigns.celery import lane_length
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.mail.transcript import MASK
from campaigns.mail_server_urls import MailServerUrl
from campaigns.settings.models import SettingsCheck
from campaigns.settings.tasks import resume_checks, run_check
from campaigns.site import Site
from tests.mail.scripted_server import ScriptedServer
from tests.pages import submit
from tests.parts import run_queued_tasks
from tests.settings.storing import store_servers
from tests.smtp_sink import PatientController, Sink, free_port

PASSWORD = "hunter2-and-more"


@pytest.fixture(autouse=True)
def site(app) -> None:
    db.session.add(Site(id=1, name="Dawn", language="en", sender_address="news@example.com"))
    db.session.commit()


@pytest.fixture
def doorkeeper() -> Iterator[Sink]:
    """A server that asks for a log-in and knows one password."""
    server = Sink(port=free_port())

    def check(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    controller = PatientController(server, port=server.port, authenticator=check, auth_require_tls=False)
    controller.start()
    yield server
    controller.stop()


def ask(client) -> str:
    """Press the button; returns the address of the page that waits."""
    answer = submit(client, "/settings/mail", {}, action="/settings/mail/0/test")
    assert answer.status_code == 303
    return answer.location


def run_test(client) -> str:
    page = ask(client)
    assert "The test mail is being sent." in client.get(page).text
    run_queued_tasks(current_app, ["mail.now"])
    db.session.expire_all()  # the requests of a test share its session
    answer = client.get(page)
    assert answer.status_code == 200
    assert "http-equiv" not in answer.text
    return answer.text


def secrets_of(password: str) -> list[str]:
    return [password, *(b64encode(text.encode()).decode() for text in (password, f"\0me\0{password}"))]


def test_a_server_that_takes_it(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = run_test(owner_client)
    assert "The mail server accepted the test mail." in page
    envelope = ("→ MAIL FROM:&lt;news@example.com&gt;", "→ RCPT TO:&lt;ada@example.com&gt;")
    assert [said for said in ("→ EHLO", *envelope, "→ DATA", "← 354", "→ QUIT") if said not in page] == []
    (mail,) = sink.to("ada@example.com")
    assert mail.message["Subject"] == "Test mail · Dawn"
    assert f"127.0.0.1:{sink.port}" in mail.text


def test_a_server_that_gets_it_as_a_chunk(app, owner_client):
    with ScriptedServer(offers=["CHUNKING"]) as server:
        store_servers(MailServerUrl("127.0.0.1", server.port, chunking=True))
        page = run_test(owner_client)
    assert "The mail server accepted the test mail." in page
    octets = len(server.mails[0].content)
    assert f"→ BDAT {octets} LAST ({octets:,} octets)" in page
    assert "→ DATA" not in page


def test_a_log_in_is_masked(app, owner_client, doorkeeper):
    store_servers(MailServerUrl("127.0.0.1", doorkeeper.port, "none", "me", PASSWORD))
    page = run_test(owner_client)
    assert "The mail server accepted the test mail." in page
    assert f"→ AUTH PLAIN {MASK}" in page
    assert "← 235" in page
    assert [secret for secret in secrets_of(PASSWORD) if secret in page] == []
    assert len(doorkeeper.to("ada@example.com")) == 1


def test_a_server_that_refuses_the_log_in(app, owner_client, doorkeeper, caplog):
    store_servers(MailServerUrl("127.0.0.1", doorkeeper.port, "none", "me", "wrong-password"))
    page = run_test(owner_client)
    assert "The mail server did not accept the test mail. (535)" in page
    assert "The mail server refused the log-in. It happened at this step: Logging in." in page
    assert "← 535" in page
    assert page.count("badge bad cross") == 1
    assert [secret for secret in secrets_of("wrong-password") if secret in page + caplog.text] == []
    assert doorkeeper.mails == []


def test_a_server_that_refuses_the_recipient(app, owner_client, sink):
    sink.refusals["ada@example.com"] = "550 5.1.1 No such user here"
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = run_test(owner_client)
    assert "No such address. It happened at this step: Naming the recipient." in page
    assert "← 550 5.1.1 No such user here" in page


def test_a_server_that_is_not_there(app, owner_client):
    store_servers(MailServerUrl("127.0.0.1", free_port()))
    page = run_test(owner_client)
    assert "The mail server cannot be reached. It happened at this step: Connecting." in page


def test_a_server_without_the_promised_encryption(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port, "starttls", "me", PASSWORD))
    page = run_test(owner_client)
    assert "The mail server offers no encryption. It happened at this step: Encrypting the connection." in page
    assert "AUTH" not in page.split("Conversation")[1].replace("AUTH LOGIN PLAIN", "")


def test_without_such_a_server_there_is_no_page(app, owner_client):
    assert owner_client.get("/settings/mail/tests/1").status_code == 404
    assert ask(owner_client) == "/settings/mail/tests/1"
    csrf = {"csrf_token": "wrong"}
    assert owner_client.post("/settings/mail/0/test", data=csrf).status_code == 400


def test_the_page_waits_and_refreshes_itself_without_scripts_too(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    shown = owner_client.get(page).text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in shown
    assert f'hx-get="{page}"' in shown
    part = owner_client.get(page, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert sink.mails == [], "the request itself spoke with nobody"


def test_without_a_worker_the_page_says_so_and_nothing_is_lost(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    with freeze(utcnow() + timedelta(seconds=11)):
        shown = owner_client.get(page).text
        assert "No worker has picked it up yet." in shown
        assert 'href="/jobs"' in shown
        run_queued_tasks(app, ["mail.now"])
        db.session.expire_all()  # the requests of a test share its session
        assert "The mail server accepted the test mail." in owner_client.get(page).text


@pytest.mark.both_databases
def test_what_the_queue_forgot_is_found_while_somebody_waits_and_sent_once(app, owner_client, sink, redis_server):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    redis_server.flush()
    resume_checks()
    assert lane_length("mail.now") == 0, "a worker may still take it up at once"
    with freeze(utcnow() + timedelta(seconds=11)):
        resume_checks()
        resume_checks()
        assert run_queued_tasks(app, ["mail.now"]) == ["settings.run_check"] * 2
        db.session.expire_all()  # the requests of a test share its session
        assert "The mail server accepted the test mail." in owner_client.get(page).text
    assert len(sink.mails) == 1


def test_a_test_for_which_nobody_waits_any_more_is_not_sent(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    with freeze(utcnow() + timedelta(minutes=11)):
        resume_checks()
        run_queued_tasks(app, ["mail.now"])
        db.session.expire_all()  # the requests of a test share its session
        assert "No worker picked it up in time." in owner_client.get(page).text
    assert sink.mails == []


def test_a_worker_that_died_under_it_is_said_and_the_mail_is_not_sent_again(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    check = db.session.scalars(db.select(SettingsCheck)).one()
    check.started_at = utcnow()
    db.session.commit()
    run_queued_tasks(app, ["mail.now"])
    db.session.expire_all()  # the requests of a test share its session
    with freeze(utcnow() + timedelta(minutes=4)):
        run_check(check.id)
        assert "It was interrupted." in owner_client.get(page).text
    assert sink.mails == []


def test_a_server_that_was_removed_meanwhile_is_said(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = ask(owner_client)
    store_servers(MailServerUrl("127.0.0.2", sink.port))
    run_queued_tasks(app, ["mail.now"])
    db.session.expire_all()  # the requests of a test share its session
    assert "This mail server is not in use any more." in owner_client.get(page).text
