"""The client against a Postfix that forbids what clients get wrong: pipelining out of turn, and bare line feeds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.mail.smtp import Envelope, OutcomeKind, ServerSettings, open_connection

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
relay_domains = example.org
default_transport = discard:
relay_transport = discard:
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
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
anvil     unix  -       -       n       -       1       anvil
error     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
proxymap  unix  -       -       n       -       -       proxymap
postlog   unix-dgram n  -       n       -       1       postlogd
"""


@pytest.fixture(scope="module")
def postfix() -> Iterator[ServerSettings]:
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
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    (folder / "conf" / "main.cf").write_text(MAIN_CF.format(folder=folder))
    (folder / "conf" / "master.cf").write_text(MASTER_CF.format(port=port))
    command = [POSTFIX, "-c", str(folder / "conf")]
    subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
    try:
        yield ServerSettings(port=port)
    finally:
        subprocess.run([*command, "stop"], check=True, capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_strict_postfix_finds_nothing_to_complain_about(postfix: ServerSettings, pipelining: bool) -> None:
    settings = ServerSettings(port=postfix.port, use_pipelining=pipelining)
    content = b"Subject: x\n\n.\nbare\n.\r\n..\r\nend"
    with open_connection(settings) as connection:
        assert connection.pipelining is pipelining
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


def test_postfix_does_refuse_bare_line_feeds(postfix: ServerSettings) -> None:
    """Shows that the test above would notice one."""
    with socket.create_connection(("127.0.0.1", postfix.port), 10) as sock:
        stream = sock.makefile("rwb")
        stream.readline()
        commands = (b"HELO x\r\n", b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n")
        for command in (*commands, b"a\nb\r\n.\r\n"):
            stream.write(command)
            stream.flush()
            answer = stream.readline()
    assert answer.startswith(b"550 5.5.2")
