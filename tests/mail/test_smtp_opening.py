"""Opening a connection: TLS that is never given up, passwords that leave only where they may, errors with a name."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from dataclasses import replace

import pytest
import trustme

from campaigns.mail.smtp import (
    Envelope,
    LoginFailed,
    OutcomeKind,
    Phase,
    Reason,
    Security,
    ServerSettings,
    ServerUnreachable,
    ServiceRefused,
    Timeouts,
    TlsFailed,
    open_connection,
)
from tests.mail.scripted_server import HANG_UP, IMPATIENT, QUICK, SILENCE, ScriptedServer
from tests.parts import wait_until
from tests.smtp_sink import free_port
from tests.stopwatch import Stopwatch

STARTTLS = {"security": Security.STARTTLS, "host": "localhost"}
LOGIN = {"username": "relay", "password": "geheim-비밀"}
MAIL = Envelope("a@example.com", "b@example.org", b"Subject: x\r\n\r\nx\r\n", 1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    return server


def secrets_seen(server: ScriptedServer) -> bool:
    return any(word in line for line in server.commands for word in ("AUTH", "MAIL", "RCPT", "DATA"))


@pytest.mark.parametrize(
    ("answers", "kind", "permanent", "phase", "reason"),
    [
        ({"greeting": "554 no service"}, ServiceRefused, True, Phase.GREETING, Reason.SERVICE_REFUSED),
        ({"greeting": "421 4.3.2 busy"}, ServiceRefused, False, Phase.GREETING, Reason.SERVER_CLOSING),
        ({"greeting": "450 later"}, ServiceRefused, False, Phase.GREETING, Reason.SERVER_BUSY),
        ({"greeting": HANG_UP}, ServerUnreachable, False, Phase.GREETING, Reason.CONNECTION_LOST),
        ({"greeting": "HTTP/1.1 400 Bad"}, ServerUnreachable, False, Phase.GREETING, Reason.PROTOCOL_ERROR),
        ({"ehlo": "550 go away"}, ServiceRefused, True, Phase.EHLO, Reason.SERVICE_REFUSED),
        ({"ehlo": "421 closing"}, ServiceRefused, False, Phase.EHLO, Reason.SERVER_CLOSING),
        ({"ehlo": HANG_UP}, ServerUnreachable, False, Phase.EHLO, Reason.CONNECTION_LOST),
    ],
)
def test_a_server_that_refuses_is_told_apart_by_phase(answers, kind, permanent, phase, reason) -> None:
    with ScriptedServer(**answers) as server:
        with pytest.raises(kind) as caught:
            open_connection(server.settings())
        error = caught.value
        assert (error.permanent, error.phase, error.reason) == (permanent, phase, reason)


@pytest.mark.parametrize(
    ("step", "answer", "kind", "permanent", "reason"),
    [
        ("starttls", "421 4.3.2 closing", TlsFailed, False, Reason.SERVER_CLOSING),
        ("starttls", HANG_UP, ServerUnreachable, False, Reason.CONNECTION_LOST),
        ("starttls", "gibberish", ServerUnreachable, False, Reason.PROTOCOL_ERROR),
        ("auth", "421 4.3.2 closing", LoginFailed, False, Reason.SERVER_CLOSING),
        ("auth", HANG_UP, ServerUnreachable, False, Reason.CONNECTION_LOST),
        ("auth", "gibberish", ServerUnreachable, False, Reason.PROTOCOL_ERROR),
        ("auth", "250 not what was asked", LoginFailed, True, Reason.PROTOCOL_ERROR),
        ("starttls", "250 not what was asked", TlsFailed, True, Reason.PROTOCOL_ERROR),
    ],
)
def test_a_server_that_breaks_off_before_any_mail_is_told_apart(ca_file, step, answer, kind, permanent, reason) -> None:
    settings = {**STARTTLS, "ca_file": ca_file} if step == "starttls" else {}
    with ScriptedServer(offers=["STARTTLS", "AUTH PLAIN"], **{step: answer}) as server:
        with pytest.raises(kind) as caught:
            open_connection(server.settings(**settings, **LOGIN))
        error = caught.value
        assert (error.permanent, error.phase.value, error.reason) == (permanent, step, reason)
        assert not any("MAIL" in line for line in server.commands)


def test_each_step_may_take_as_long_as_the_standard_asks_for() -> None:
    """RFC 5321 §4.5.3.2; the final dot's ten minutes stay when a site waits less for everything else."""
    waits = Timeouts()
    assert (waits.greeting, waits.command, waits.data_start, waits.data_block, waits.final_dot) == (
        300, 300, 120, 180, 600,
    )  # fmt: skip


def test_nobody_listening_is_temporary() -> None:
    port = free_port()
    with pytest.raises(ServerUnreachable) as caught:
        open_connection(ServerSettings(port=port, timeouts=QUICK))
    assert (caught.value.permanent, caught.value.phase) == (False, Phase.CONNECT)
    assert caught.value.reason is Reason.RELAY_UNREACHABLE
    assert str(port) in str(caught.value)


def test_a_missing_unix_socket_is_temporary(tmp_path) -> None:
    with pytest.raises(ServerUnreachable):
        open_connection(ServerSettings(socket_path=str(tmp_path / "none")))


@pytest.mark.parametrize("step", ["greeting", "ehlo", "starttls", "auth"])
def test_a_server_silent_at_any_step_is_given_up(step: str) -> None:
    settings = {"security": Security.STARTTLS} if step == "starttls" else LOGIN
    with ScriptedServer(offers=["STARTTLS", "AUTH PLAIN"], **{step: SILENCE}) as server:
        stopwatch = Stopwatch()
        with pytest.raises(ServerUnreachable) as caught:
            open_connection(server.settings(timeouts=IMPATIENT, **settings))
        assert caught.value.reason is Reason.TIMEOUT
        assert caught.value.phase.value == step
        assert stopwatch.seconds < 3


def test_a_server_silent_in_the_tls_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = ServerSettings(
            host="localhost",
            port=silent.getsockname()[1],
            security=Security.TLS,
            timeouts=replace(IMPATIENT, connect=1),
        )
        with pytest.raises(ServerUnreachable) as caught:
            open_connection(settings)
    assert (caught.value.phase, caught.value.reason) == (Phase.STARTTLS, Reason.TIMEOUT)


def test_starttls_with_a_trusted_certificate_works_and_offers_are_learned_again(authority, ca_file) -> None:
    with ScriptedServer(
        offers=["STARTTLS", "PIPELINING", "AUTH PLAIN"], offers_after_tls=["SIZE 5000"], tls=context(authority)
    ) as server:
        with open_connection(server.settings(**STARTTLS, ca_file=ca_file)) as connection:
            assert connection.encrypted
            assert not connection.pipelining
            assert connection.size_limit == 5000
            assert connection.send(MAIL).kind is OutcomeKind.SENT
        assert [line.partition(" ")[0] for line in server.commands[:3]] == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.parametrize("before", [True, False])
def test_chunking_counts_only_as_offered_after_tls(authority, ca_file, before: bool) -> None:
    offers, later = (["STARTTLS", "CHUNKING"], ["SIZE"]) if before else (["STARTTLS"], ["CHUNKING"])
    with (
        ScriptedServer(offers=offers, offers_after_tls=later, tls=context(authority)) as server,
        open_connection(server.settings(**STARTTLS, ca_file=ca_file, use_chunking=True)) as connection,
    ):
        assert connection.chunking is not before
        assert connection.send(MAIL).kind is OutcomeKind.SENT
        assert ("DATA" if before else f"BDAT {len(MAIL.content)} LAST") in server.commands


def test_implicit_tls_with_a_trusted_certificate_works_pipelined_and_with_large_mails(authority, ca_file) -> None:
    big = Envelope("a@example.com", "b@example.org", (b"y" * 70 + b"\r\n") * 20_000, 1)
    with (
        ScriptedServer(offers=["PIPELINING"], implicit_tls=True, tls=context(authority)) as server,
        open_connection(server.settings(security=Security.TLS, host="localhost", ca_file=ca_file)) as connection,
    ):
        assert [outcome.kind for _, outcome in connection.send_all(iter([MAIL, big, MAIL]))] == [OutcomeKind.SENT] * 3
        assert server.mails[1].content == big.content


def test_starttls_that_is_not_offered_ends_the_connection(ca_file) -> None:
    with ScriptedServer(offers=["AUTH PLAIN"]) as server:
        with pytest.raises(TlsFailed) as caught:
            open_connection(server.settings(**STARTTLS, ca_file=ca_file, **LOGIN))
        assert (caught.value.permanent, caught.value.reason) == (True, Reason.TLS_UNAVAILABLE)
        assert not secrets_seen(server)


@pytest.mark.parametrize(("answer", "permanent"), [("454 4.7.0 not now", False), ("502 5.5.1 no", True)])
def test_starttls_that_is_refused_ends_the_connection(ca_file, answer: str, permanent: bool) -> None:
    with ScriptedServer(offers=["STARTTLS", "AUTH PLAIN"], starttls=answer) as server:
        with pytest.raises(TlsFailed) as caught:
            open_connection(server.settings(**STARTTLS, ca_file=ca_file, **LOGIN))
        assert caught.value.permanent is permanent
        assert not secrets_seen(server)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("problem", ["unknown authority", "wrong host"])
def test_a_bad_certificate_ends_the_connection_before_any_password(authority, ca_file, problem, implicit) -> None:
    issuer, name = (trustme.CA(), "localhost") if problem == "unknown authority" else (authority, "other.example.com")
    security = Security.TLS if implicit else Security.STARTTLS
    with ScriptedServer(offers=["STARTTLS", "AUTH PLAIN"], tls=context(issuer, name), implicit_tls=implicit) as server:
        with pytest.raises(TlsFailed) as caught:
            open_connection(server.settings(security=security, host="localhost", ca_file=ca_file, **LOGIN))
        assert (caught.value.permanent, caught.value.reason) == (True, Reason.CERTIFICATE_REFUSED)
        assert not secrets_seen(server)


def test_verification_can_be_switched_off_by_a_person() -> None:
    with (
        ScriptedServer(offers=["STARTTLS"], tls=context(trustme.CA(), "other.example.com")) as server,
        open_connection(server.settings(**STARTTLS, verify_certificate=False)) as connection,
    ):
        assert connection.encrypted


def test_a_plain_server_on_a_tls_port_is_an_error_and_not_a_fallback() -> None:
    with ScriptedServer() as server, pytest.raises(TlsFailed) as caught:
        open_connection(server.settings(security=Security.TLS, host="localhost"))
    assert caught.value.reason is Reason.TLS_FAILED


def test_a_ca_file_that_is_missing_is_named() -> None:
    with pytest.raises(TlsFailed, match=r"/nowhere/ca\.pem"):
        open_connection(ServerSettings(**STARTTLS, ca_file="/nowhere/ca.pem"))


def test_answers_injected_before_tls_are_thrown_away(authority, ca_file) -> None:
    """Whoever sits between can add plaintext after the 220; believed, it would answer our encrypted commands."""

    def inject(talk) -> str:
        return "220 go\n250-evil.example.com\n250 PIPELINING"

    with (
        ScriptedServer(offers=["STARTTLS"], offers_after_tls=[], starttls=inject, tls=context(authority)) as server,
        open_connection(server.settings(**STARTTLS, ca_file=ca_file)) as connection,
    ):
        assert not connection.pipelining
        assert connection.send(MAIL).kind is OutcomeKind.SENT


def test_plain_log_in_sends_the_password_once_and_in_utf8() -> None:
    with ScriptedServer(offers=["AUTH LOGIN PLAIN"]) as server, open_connection(server.settings(**LOGIN)):
        secret = next(line for line in server.commands if line.startswith("AUTH PLAIN ")).split()[2]
        assert base64.b64decode(secret).decode() == "\0relay\0geheim-비밀"


def test_log_in_by_questions_where_plain_is_not_offered() -> None:
    with ScriptedServer(offers=["AUTH LOGIN"]) as server, open_connection(server.settings(**LOGIN)):
        answers = server.commands[server.commands.index("AUTH LOGIN") + 1 :][:2]
        assert [base64.b64decode(answer).decode() for answer in answers] == ["relay", "geheim-비밀"]


@pytest.mark.parametrize(
    ("answer", "permanent", "reason"),
    [
        ("535 5.7.8 bad credentials", True, Reason.AUTH_FAILED),
        ("454 4.7.0 try later", False, Reason.AUTH_UNAVAILABLE),
        ("534 5.7.9 too weak", True, Reason.AUTH_FAILED),
    ],
)
def test_a_refused_log_in_stops_before_any_mail(answer: str, permanent: bool, reason: Reason) -> None:
    with ScriptedServer(offers=["AUTH PLAIN"], auth=answer) as server:
        with pytest.raises(LoginFailed) as caught:
            open_connection(server.settings(**LOGIN))
        assert (caught.value.permanent, caught.value.reason, caught.value.phase) == (permanent, reason, Phase.AUTH)
        assert "geheim" not in str(caught.value) + repr(server.settings(**LOGIN))
        assert not any("MAIL" in line for line in server.commands)


def test_a_server_without_a_log_in_we_know_is_an_error() -> None:
    with ScriptedServer(offers=["AUTH CRAM-MD5"]) as server, pytest.raises(LoginFailed) as caught:
        open_connection(server.settings(**LOGIN))
    assert caught.value.reason is Reason.AUTH_UNAVAILABLE


def test_a_password_does_not_leave_this_machine_without_tls(monkeypatch) -> None:
    # The peer's address is the one thing that loopback cannot show for real.
    monkeypatch.setattr("campaigns.mail.smtp_wire.Wire.peer_host", "192.0.2.7")
    with ScriptedServer(offers=["AUTH PLAIN"]) as server:
        with pytest.raises(LoginFailed) as caught:
            open_connection(server.settings(**LOGIN))
        assert caught.value.reason is Reason.TLS_REQUIRED
        assert not secrets_seen(server)
        open_connection(server.settings(**LOGIN, allow_unencrypted_login=True)).close()


def test_helo_is_tried_where_ehlo_is_unknown() -> None:
    with (
        ScriptedServer(helo_only=True) as server,
        open_connection(server.settings(ehlo_name="app.example.com")) as connection,
    ):
        assert connection.send(MAIL).kind is OutcomeKind.SENT
        assert server.commands[:2] == ["EHLO app.example.com", "HELO app.example.com"]


def test_we_introduce_ourselves_by_the_address_of_our_end() -> None:
    with ScriptedServer() as server:
        open_connection(server.settings()).close()
        assert server.commands[0] == "EHLO [127.0.0.1]"


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 70000},
        {"host": ""},
        {"ehlo_name": "a b"},
        {"ehlo_name": "a\r\nMAIL"},
        {"socket_path": "/x", "security": Security.TLS},
        {"password": "a\0b"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong) -> None:
    with pytest.raises(ValueError):
        ServerSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"connect": 0}, {"final_dot": -1}, {"command": 301}])
def test_timeouts_outside_the_standard_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Timeouts(**wrong)


def test_a_failed_opening_leaves_no_connection_behind() -> None:
    before = threading.active_count()
    with ScriptedServer(greeting="554 no") as server:
        for _ in range(3):
            with pytest.raises(ServiceRefused):
                open_connection(server.settings())
        wait_until(lambda: threading.active_count() <= before + 1, what="the threads of the talks to end")
