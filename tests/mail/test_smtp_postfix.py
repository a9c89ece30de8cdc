"""The client against a Postfix that forbids what clients get wrong: pipelining out of turn, and bare line feeds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from base64 import encodebytes
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest
import trustme

from campaigns.mail.smtp import (
    Connection,
    Envelope,
    OutcomeKind,
    Reason,
    Security,
    ServerSettings,
    TlsFailed,
    open_connection,
)
from campaigns.mail.smtp_envelope import canonical_content
from tests.parts import wait_until
from tests.smtp_sink import PatientController, free_port

POSTFIX = shutil.which("postfix", path=os.environ.get("PATH", "") + ":/usr/sbin")
MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
inet_interfaces = 127.0.0.1
disable_dns_lookups = yes
myhostname = mail.example.test
mydestination =
relay_domains = example.org, kept.example.org, bounced.example.org
default_transport = discard:
relay_transport = discard:
transport_maps = inline:{{
  {{kept.example.org = smtp:[127.0.0.1]:{behind}}}, {{bounced.example.org = smtp:[127.0.0.1]:{behind}}} }}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/server.pem
smtpd_tls_loglevel = 1
header_checks = regexp:{{ {{/^Subject: refuse me/ REJECT 5.7.1 Looks like spam}} }}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access
  inline:{{ {{user3@example.org = 550 5.1.1 User unknown}}, {{user5@example.org = 450 4.2.0 Greylisted}} }}
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = yes
strict_rfc821_envelopes = yes
alias_maps =
alias_database =
"""
MASTER_CF = """
{port}    inet  n       -       n       -       -       smtpd
{plain_port} inet n     -       n       -       -       smtpd -o smtpd_discard_ehlo_keywords=pipelining
{tls_port} inet  n      -       n       -       -       smtpd -o smtpd_tls_wrappermode=yes
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
anvil     unix  -       -       n       -       1       anvil
error     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
smtp      unix  -       -       n       -       -       smtp
proxymap  unix  -       -       n       -       -       proxymap
postlog   unix-dgram n  -       n       -       1       postlogd
"""


class Postfix(NamedTuple):
    """Its ports: the usual one, one that offers no PIPELINING, one with TLS from the first byte; whom to trust."""

    port: int
    plain_port: int
    tls_port: int
    ca_file: str


@dataclass
class Behind:
    """What Postfix passed on, by recipient; it refuses those of one domain."""

    contents: dict[str, bytes] = field(default_factory=dict)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@bounced.example.org"):
            return "550 5.1.1 Nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.contents[envelope.rcpt_tos[0]] = envelope.original_content
        return "250 2.0.0 taken"


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Behind, int]]:
    handler = Behind()
    controller = PatientController(handler)
    controller.start()
    yield handler, controller.port
    controller.stop()


@pytest.fixture(scope="module")
def postfix(behind: tuple[Behind, int]) -> Iterator[Postfix]:
    if POSTFIX is None or os.geteuid() != 0:
        reason = "Postfix is not installed, or we are not root, which it needs to start"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # Postfix's own user has to reach its folders, and pytest's are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="carillon-postfix-"))
    folder.chmod(0o755)
    for name in ("conf", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    ports = Postfix(free_port(), free_port(), free_port(), str(folder / "ca.pem"))
    (folder / "conf" / "main.cf").write_text(MAIN_CF.format(folder=folder, behind=behind[1]))
    (folder / "conf" / "master.cf").write_text(MASTER_CF.format(**ports._asdict()))
    command = [POSTFIX, "-c", str(folder / "conf")]
    subprocess.run([*command, "start"], check=True, capture_output=True, timeout=120)
    try:
        yield ports
    finally:
        subprocess.run([*command, "stop"], check=True, capture_output=True, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["pipelined", "plain", "pipelined BDAT", "plain BDAT"])
def connection(postfix: Postfix, request: pytest.FixtureRequest) -> Iterator[Connection]:
    pipelining, chunking = "pipelined" in request.param, "BDAT" in request.param
    settings = ServerSettings(port=postfix.port if pipelining else postfix.plain_port, use_chunking=chunking)
    with open_connection(settings) as opened:
        assert (opened.pipelining, opened.chunking) == (pipelining, chunking)
        yield opened


def test_a_strict_postfix_finds_nothing_to_complain_about(connection: Connection) -> None:
    content = b"Subject: x\n\n.\nbare\n.\r\n..\r\nend"
    with connection:
        source = (
            Envelope("a@example.com", f"user{number}@example.org", content, number, envelope_id=f"c1-{number}")
            for number in range(60)
        )
        settled = {envelope.ref: outcome for envelope, outcome in connection.send_all(source)}
    assert list(settled) == list(range(60))
    assert Counter(outcome.kind for outcome in settled.values()) == {
        OutcomeKind.SENT: 58,
        OutcomeKind.PERMANENT: 1,
        OutcomeKind.TEMPORARY: 1,
    }
    assert (settled[3].enhanced, settled[3].suppresses) == ("5.1.1", True)
    assert settled[5].enhanced == "4.2.0"
    assert all("queued as" in outcome.text for outcome in settled.values() if outcome.kind is OutcomeKind.SENT)


def test_every_octet_comes_through_postfix(connection: Connection, behind: tuple[Behind, int]) -> None:
    """Lines of dots, Korean in base64, and a body that would end DATA or begin a command if it were not counted."""
    korean = encodebytes("안녕하세요, 가을 소식입니다. ".encode() * 3000).replace(b"\n", b"\r\n")
    body = b".\r\n..\r\n...\r\n.x\r\n\r\nRSET\r\nBDAT 5 LAST\r\n.\nbare\n" + korean + b".\r\n."
    content = b"From: a@example.com\r\nSubject: x\r\nMessage-ID: <1@example.com>\r\n\r\n" + body
    recipients = [f"user{number}@kept.example.org" for number in range(3)]
    behind[0].contents.clear()
    source = (Envelope("a@example.com", to, content, number) for number, to in enumerate(recipients))
    assert [outcome.kind for _, outcome in connection.send_all(source)] == [OutcomeKind.SENT] * 3
    wait_until(lambda: len(behind[0].contents) == 3)
    arrived = {to: seen.partition(b"\r\n\r\n")[2] for to, seen in behind[0].contents.items()}
    assert arrived == dict.fromkeys(recipients, canonical_content(body))


def test_a_mail_refused_after_its_content_touches_nobody_else(connection: Connection) -> None:
    refused = {1, 2, 5}
    source = (
        Envelope("a@example.com", f"person{number}@example.org", b"Subject: %b\r\n\r\nx" % words, number)
        for number, words in enumerate(b"refuse me" if n in refused else b"good" for n in range(6))
    )
    settled = {envelope.ref: outcome for envelope, outcome in connection.send_all(source)}
    assert list(settled) == list(range(6))
    for number, outcome in settled.items():
        expected = (OutcomeKind.PERMANENT, 550) if number in refused else (OutcomeKind.SENT, 250)
        assert (outcome.kind, outcome.code) == expected
    assert connection.is_alive()


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
def test_postfix_takes_mail_over_tls_and_only_where_its_name_is_right(
    postfix: Postfix, security: Security, chunking: bool
) -> None:
    port = postfix.port if security is Security.STARTTLS else postfix.tls_port
    server = ServerSettings("localhost", port, security=security, ca_file=postfix.ca_file, use_chunking=chunking)
    with open_connection(server) as connection:
        assert (connection.encrypted, connection.pipelining, connection.chunking) == (True, True, chunking)
        source = (Envelope("a@example.com", f"tls{n}@example.org", b"Subject: x\r\n\r\nx", n) for n in range(20))
        assert {outcome.kind for _, outcome in connection.send_all(source)} == {OutcomeKind.SENT}
    with pytest.raises(TlsFailed) as caught:
        open_connection(replace(server, host="127.0.0.1"))
    assert caught.value.reason is Reason.CERTIFICATE_REFUSED


def test_a_bounce_by_postfix_names_the_mail_and_the_recipient(postfix: Postfix, behind: tuple[Behind, int]) -> None:
    """ENVID and ORCPT as xtext, and RET=HDRS, seen from the other end: in what comes back."""
    mail = Envelope(
        "news@kept.example.org", "kim+news=1@bounced.example.org", b"Subject: x\r\n\r\nsecret body\r\n", 1,
        envelope_id="c7-1 +",
    )  # fmt: skip
    with open_connection(ServerSettings(port=postfix.port)) as connection:
        assert connection.send(mail).kind is OutcomeKind.SENT
    wait_until(lambda: mail.sender in behind[0].contents)
    bounce = behind[0].contents[mail.sender]
    assert b"\r\nOriginal-Envelope-Id: c7-1 +\r\n" in bounce
    assert b"\r\nOriginal-Recipient: rfc822;kim+news=1@bounced.example.org\r\n" in bounce
    assert b"\r\nSubject: x\r\n" in bounce
    assert b"secret body" not in bounce


@pytest.mark.parametrize(
    "content", [(b"DATA\r\n", b"a\nb\r\n.\r\n"), (b"BDAT 16 LAST\r\nSubject: x\r\n\r\na\n",)], ids=["DATA", "BDAT"]
)
def test_postfix_does_refuse_bare_line_feeds(postfix: Postfix, content: tuple[bytes, ...]) -> None:
    """Shows that the tests above would notice one."""
    commands = (b"EHLO x\r\n", b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.org>\r\n")
    with socket.create_connection(("127.0.0.1", postfix.port), 10) as sock:
        stream = sock.makefile("rwb")
        last_line(stream)
        for command in (*commands, *content):
            stream.write(command)
            stream.flush()
            answer = last_line(stream)
    assert answer.startswith(b"550 5.5.2")


def last_line(stream: BinaryIO) -> bytes:
    while (line := stream.readline())[3:4] == b"-":
        pass
    return line
