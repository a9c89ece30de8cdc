"""A campaign over servers that want TLS and a log-in: sent when both are right, held and untouched when one is not."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from flask import Flask
from sqlalchemy import select

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import rounds
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import campaign_totals
from campaigns.extensions import db
from campaigns.mail_server_urls import read_mail_servers
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.parts import close_connections
from tests.people import make_users
from tests.smtp_sink import PatientController, Sink, free_port


@dataclass
class Guarded(Sink):
    """A server that takes mail only over TLS and from who is logged in; `seen` are the passwords that reached it."""

    seen: list[bytes] = field(default_factory=list)

    def check(self, _server, _session, _envelope, _mechanism, data) -> AuthResult:
        self.seen.append(data.password)
        return AuthResult(success=data.password == b"right", handled=False)

    async def handle_MAIL(self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if not session.authenticated:
            return "530 5.7.0 Log in first"
        return await super().handle_MAIL(smtp, session, envelope, address, options)


class OverTls(PatientController):
    """TLS from the first byte, which aiosmtpd does not count as encryption when it comes to a log-in."""

    def factory(self) -> SMTP:
        return SMTP(self.handler, auth_require_tls=False, authenticator=self.handler.check)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context(authority: trustme.CA, host: str = "localhost") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(made)
    return made


@pytest.fixture
def guard(request: pytest.FixtureRequest) -> Iterator[Callable[..., Guarded]]:
    """Start a guarded server, by STARTTLS or with TLS from the first byte."""
    started: list[PatientController] = []

    def start(tls: ssl.SSLContext, *, implicit: bool) -> Guarded:
        server = Guarded(port=free_port())
        if implicit:
            controller: PatientController = OverTls(server, port=server.port, ssl_context=tls)
        else:
            controller = PatientController(
                server, port=server.port, tls_context=tls, require_starttls=True,
                authenticator=server.check,
            )  # fmt: skip
        controller.start()
        started.append(controller)
        return server

    yield start
    close_connections()
    for controller in started:
        controller.stop()


def use(app: Flask, *addresses: str, ca_file: Path | None) -> None:
    servers = read_mail_servers(",".join(addresses))
    now = app.extensions["carillon.settings"]
    app.extensions["carillon.settings"] = replace(now, mail_server="", mail_servers=servers, mail_ca_file=ca_file)


def address(server: Guarded, *, implicit: bool, password: str = "right", weight: int = 1) -> str:
    scheme, option = ("smtps", "") if implicit else ("smtp", "tls=starttls&")
    return f"{scheme}://relay:{password}@localhost:{server.port}?{option}weight={weight}"


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "TLS"])
def test_a_campaign_goes_out_encrypted_and_logged_in(app, guard, authority, ca_file, implicit) -> None:
    server = guard(context(authority), implicit=implicit)
    use(app, address(server, implicit=implicit), ca_file=ca_file)
    make_users(40)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert sorted(mail.recipient for mail in server.mails) == sorted(f"person{n}@example.com" for n in range(1, 41))
    assert set(server.seen) == {b"right"}


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "TLS"])
def test_a_refused_log_in_leaves_the_queue_untouched_until_it_is_mended(
    app, guard, authority, ca_file, implicit
) -> None:
    server = guard(context(authority), implicit=implicit)
    use(app, address(server, implicit=implicit, password="wrong"), ca_file=ca_file)
    make_users(5)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    campaign = db.session.get_one(Campaign, campaign_id)
    assert (campaign.trouble, campaign.trouble_reply.startswith("535")) == ("auth_failed", True)
    assert rounds.plan_round(campaign_id) is None, "the whole relay is left alone for a while"
    assert len(server.seen) == 1, "one try for all of them"
    assert_untouched(campaign_id, 5)
    use(app, address(server, implicit=implicit), ca_file=ca_file)
    with freeze(utcnow() + timedelta(minutes=2)):
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert len(server.mails) == 5


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "TLS"])
@pytest.mark.parametrize("problem", ["unknown authority", "wrong host"])
def test_a_certificate_that_is_not_right_gets_neither_password_nor_mail(
    app, guard, authority, ca_file, implicit, problem
) -> None:
    issuer, host = (trustme.CA(), "localhost") if problem == "unknown authority" else (authority, "other.example.com")
    server = guard(context(issuer, host), implicit=implicit)
    use(app, address(server, implicit=implicit), ca_file=ca_file)
    make_users(5)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert db.session.get_one(Campaign, campaign_id).trouble == "certificate_refused"
    assert (server.seen, server.mails) == ([], [])
    assert_untouched(campaign_id, 5)


def test_starttls_that_is_not_offered_gets_neither_password_nor_mail(app, sink, ca_file) -> None:
    use(app, f"smtp://relay:right@localhost:{sink.port}?tls=starttls", ca_file=ca_file)
    make_users(5)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert db.session.get_one(Campaign, campaign_id).trouble == "tls_unavailable"
    assert sink.mails == []
    assert_untouched(campaign_id, 5)


def test_others_take_over_from_a_server_that_refuses_the_log_in(app, guard, authority, ca_file) -> None:
    refusing, taking = (guard(context(authority), implicit=implicit) for implicit in (False, True))
    heavy = address(refusing, implicit=False, password="wrong", weight=1000)
    use(app, heavy, address(taking, implicit=True), ca_file=ca_file)
    make_users(20)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert (len(refusing.mails), len(taking.mails)) == (0, 20)
    assert db.session.get_one(Campaign, campaign_id).trouble is None


def assert_untouched(campaign_id: int, people: int) -> None:
    """Everybody waits as if nothing had been tried."""
    totals = campaign_totals(campaign_id)
    assert (totals.waiting, totals.balances) == (people, True)
    db.session.expire_all()
    assert {row.attempts for row in db.session.scalars(select(Delivery))} == {0}
