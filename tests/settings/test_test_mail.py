"""A test mail shows all that was said: by a server that takes it, one that refuses, one that is not there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from campaigns.extensions import db
from campaigns.mail.transcript import MASK
from campaigns.mail_server_urls import MailServerUrl
from campaigns.site import Site
from tests.pages import submit
from tests.settings.storing import store_servers
from tests.smtp_sink import Sink, free_port

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

    controller = Controller(server, hostname="127.0.0.1", port=server.port, authenticator=check, auth_require_tls=False)
    controller.start()
    yield server
    controller.stop()


def run_test(client) -> str:
    answer = submit(client, "/settings/mail", {}, action="/settings/mail/0/test")
    assert answer.status_code == 200
    return answer.text


def secrets_of(password: str) -> list[str]:
    return [password, *(b64encode(text.encode()).decode() for text in (password, f"\0me\0{password}"))]


def test_a_server_that_takes_it(app, owner_client, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    page = run_test(owner_client)
    assert "The mail server took the test mail." in page
    envelope = ("→ MAIL FROM:&lt;news@example.com&gt;", "→ RCPT TO:&lt;ada@example.com&gt;")
    assert [said for said in ("→ EHLO", *envelope, "→ DATA", "← 354", "→ QUIT") if said not in page] == []
    (mail,) = sink.to("ada@example.com")
    assert mail.message["Subject"] == "Test mail · Dawn"
    assert f"127.0.0.1:{sink.port}" in mail.text


def test_a_log_in_is_masked(app, owner_client, doorkeeper):
    store_servers(MailServerUrl("127.0.0.1", doorkeeper.port, "none", "me", PASSWORD))
    page = run_test(owner_client)
    assert "The mail server took the test mail." in page
    assert f"→ AUTH PLAIN {MASK}" in page
    assert "← 235" in page
    assert [secret for secret in secrets_of(PASSWORD) if secret in page] == []
    assert len(doorkeeper.to("ada@example.com")) == 1


def test_a_server_that_refuses_the_log_in(app, owner_client, doorkeeper, caplog):
    store_servers(MailServerUrl("127.0.0.1", doorkeeper.port, "none", "me", "wrong-password"))
    page = run_test(owner_client)
    assert "The mail server did not take the test mail. (535)" in page
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
    assert "AUTH" not in page.split("What was said")[1].replace("AUTH LOGIN PLAIN", "")


def test_without_such_a_server_there_is_no_page(app, owner_client):
    assert submit(owner_client, "/settings/mail", {}, action="/settings/mail/0/test").status_code == 200
    csrf = {"csrf_token": "wrong"}
    assert owner_client.post("/settings/mail/0/test", data=csrf).status_code == 400
