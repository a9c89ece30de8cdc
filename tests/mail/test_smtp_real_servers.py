"""The client against servers that others wrote: aiosmtpd, and Postfix's smtp-sink."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from campaigns.mail.headers import Mailbox
from campaigns.mail.mime import build_message
from campaigns.mail.smtp import Envelope, LoginFailed, OutcomeKind, Reason, ServerSettings, open_connection
from tests.mail.outcomes import NOT_HANDED_OVER, PERMANENT, SENDER_REFUSED, SENT, TEMPORARY, UNCERTAIN
from tests.mail.scripted_server import QUICK
from tests.parts import wait_until
from tests.smtp_sink import PatientController, free_port

SINK = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
needs_sink = pytest.mark.usefixtures("sink_installed")


@pytest.fixture
def sink_installed() -> None:
    if SINK is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("smtp-sink is not installed (Debian: postfix)")
        pytest.skip("smtp-sink is not installed (Debian: postfix)")


class Collector:
    def __init__(self) -> None:
        self.envelopes: list = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 User unknown"
        if address.startswith("full"):
            return "452 4.2.2 Mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        return "250 2.0.0 queued"


@pytest.fixture
def collector() -> Collector:
    return Collector()


@contextmanager
def aiosmtpd(collector: Collector, **options) -> Iterator[ServerSettings]:
    controller = PatientController(collector, **options)
    controller.start()
    try:
        yield ServerSettings(port=controller.port, timeouts=QUICK)
    finally:
        controller.stop()


def mail(number: int, recipient: str = "") -> Envelope:
    recipient = recipient or f"user{number}@example.org"
    content = build_message(
        sender=Mailbox("news@example.com", "소식"),
        recipient=Mailbox(recipient, "김 철수"),
        subject="(광고) 가을 할인 " + "안내 " * 20,
        text=".\n..\n안녕하세요\n" * 50,
        html="<p>안녕하세요</p>\n" * 50,
        message_id=f"<{number}@example.com>",
        date=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return Envelope("news@example.com", recipient, content, number)


def test_aiosmtpd_gets_every_octet_and_refusals_are_per_recipient(collector: Collector) -> None:
    with aiosmtpd(collector) as server, open_connection(server) as connection:
        assert not connection.pipelining
        source = [mail(0), mail(1, "unknown@example.org"), mail(2, "full@example.org"), mail(3)]
        outcomes = [outcome for _, outcome in connection.send_all(iter(source))]
    assert [outcome.kind for outcome in outcomes] == [SENT, PERMANENT, TEMPORARY, SENT]
    assert [outcome.reason for outcome in outcomes[1:3]] == [Reason.NO_SUCH_ADDRESS, Reason.MAILBOX_FULL]
    assert [envelope.original_content for envelope in collector.envelopes] == [source[0].content, source[3].content]


def test_aiosmtpd_gets_lines_of_dots_as_they_were(collector: Collector) -> None:
    contents = [b".\r\n", b"..\r\n...\r\n.x\r\n", b"Subject: x\r\n\r\n.\r\n\r\n.\r\nRSET\r\n.", b"\r\n.\r\n"]
    with aiosmtpd(collector) as server, open_connection(server) as connection:
        source = (Envelope("a@example.com", "b@example.org", content, n) for n, content in enumerate(contents))
        assert [outcome.kind for _, outcome in connection.send_all(source)] == [SENT] * 4
    ended = [content if content.endswith(b"\r\n") else content + b"\r\n" for content in contents]
    assert [envelope.original_content for envelope in collector.envelopes] == ended


@pytest.mark.parametrize("offered", [True, False])
def test_aiosmtpd_takes_international_addresses_only_where_it_offers_them(collector: Collector, offered: bool) -> None:
    with aiosmtpd(collector, enable_SMTPUTF8=offered) as server, open_connection(server) as connection:
        outcome = connection.send(mail(1, "한글@example.org"))
    assert outcome.kind is (SENT if offered else PERMANENT)
    assert outcome.reason is (Reason.ACCEPTED if offered else Reason.UNSENDABLE_EAI)
    assert len(collector.envelopes) == int(offered)


def test_aiosmtpd_checks_the_password(collector: Collector) -> None:
    def authenticate(server, session, envelope, mechanism, data) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    options = {"authenticator": authenticate, "auth_require_tls": False}
    with aiosmtpd(collector, **options) as server:
        with pytest.raises(LoginFailed) as caught:
            open_connection(login(server, "wrong"))
        assert (caught.value.code, caught.value.permanent) == (535, True)
        with open_connection(login(server, "right")) as connection:
            assert connection.send(mail(1)).kind is SENT


def login(server: ServerSettings, password: str) -> ServerSettings:
    return ServerSettings(port=server.port, timeouts=QUICK, username="relay", password=password)


def test_aiosmtpd_itself_refuses_lines_longer_than_the_standard(collector: Collector) -> None:
    """Shows that the test above would notice one."""
    assert SMTP.line_length_limit == 1001
    with aiosmtpd(collector) as server, open_connection(server) as connection:
        bad = Envelope("a@example.com", "b@example.org", b"x" * 1200 + b"\r\n", 1)
        assert connection.send(bad).kind is not SENT
    assert collector.envelopes == []


@contextmanager
def sink(*options: str, folder: Path) -> Iterator[ServerSettings]:
    assert SINK is not None
    port = free_port()
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 and "-d" not in options else []
    process = subprocess.Popen([SINK, *as_nobody, *options, f"127.0.0.1:{port}", "100"], cwd=folder)
    try:
        wait_until(lambda: answers(port))
        yield ServerSettings(port=port, timeouts=QUICK)
    finally:
        process.terminate()
        process.wait(90)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            return probe.recv(3) == b"220"
    except OSError:
        return False


@needs_sink
@pytest.mark.parametrize("options", [[], ["-p"], ["-e"]], ids=["pipelined", "not offered", "HELO only"])
def test_smtp_sink_gets_each_message_once_and_whole(options: list[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with sink(*options, "-D", "mails", folder=tmp_path) as server:
        with open_connection(server) as connection:
            assert connection.pipelining is (options == [])
            settled = list(connection.send_all(mail(number) for number in range(200)))
        assert [outcome.kind for _, outcome in settled] == [SENT] * 200
        dump = (tmp_path / "mails").read_bytes()
    ids = [int(found) for found in re.findall(rb"^Message-ID: <(\d+)@example\.com>", dump, re.MULTILINE)]
    assert ids == list(range(200))


SINK_FAULTS = [
    (["-q", "mail"], NOT_HANDED_OVER),
    (["-q", "rcpt"], NOT_HANDED_OVER),
    (["-q", "data"], NOT_HANDED_OVER),
    (["-q", "."], UNCERTAIN),
    (["-Q", "mail"], NOT_HANDED_OVER),
    (["-Q", "rcpt"], NOT_HANDED_OVER),
    (["-Q", "data"], NOT_HANDED_OVER),
    (["-Q", "."], TEMPORARY),
    (["-r", "mail"], TEMPORARY),
    (["-r", "rcpt"], TEMPORARY),
    (["-r", "data"], TEMPORARY),
    (["-r", "."], TEMPORARY),
    (["-f", "mail"], SENDER_REFUSED),
    (["-f", "rcpt"], PERMANENT),
    (["-f", "data"], PERMANENT),
    (["-f", "."], PERMANENT),
]


@needs_sink
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("fault", "kind"), SINK_FAULTS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_smtp_sink_failing_at_a_step_leads_to_the_right_state(
    fault: list[str], kind: OutcomeKind, pipelining: bool, tmp_path: Path
) -> None:
    with sink(*fault, *([] if pipelining else ["-p"]), folder=tmp_path) as server:
        connection = open_connection(server)
        source = (mail(number) for number in range(4))
        settled = [(sent.ref, outcome.kind) for sent, outcome in connection.send_all(source)]
        left = [sent.ref for sent in source]
        connection.close()
    assert settled[0] == (0, kind)
    assert [ref for ref, _ in settled] + left == [0, 1, 2, 3]
    if left:
        assert all(later is NOT_HANDED_OVER for _, later in settled[1:])
    else:
        assert {later for _, later in settled} == {kind}
