"""Content that is in its wire form already goes out untouched, and is announced by the size it will have."""

from __future__ import annotations

import pytest

from campaigns.mail.smtp import OutcomeKind, Reason, open_connection
from campaigns.mail.smtp_envelope import wire_content
from tests.mail.scripted_server import ScriptedServer, envelope

CONTENT = b"Subject: hello\r\n\r\nfirst\r\n" + b"line\r\n" * 2000


@pytest.mark.parametrize("offers", [["PIPELINING", "SIZE 1000000"], ["SIZE 1000000"]])
def test_ready_and_plain_content_arrive_alike_over_one_connection(offers: list[str]) -> None:
    mails = [envelope(1, CONTENT), envelope(2, wire_content(CONTENT), is_wire_ready=True), envelope(3, CONTENT)]
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        outcomes = [outcome.kind for _, outcome in connection.send_all(iter(mails))]
    assert outcomes == [OutcomeKind.SENT] * 3
    assert [mail.content for mail in server.mails] == [CONTENT] * 3
    senders = [command for command in server.commands if command.startswith("MAIL")]
    assert senders == [f"MAIL FROM:<news@example.com> SIZE={len(CONTENT)}"] * 3


def test_a_servers_limit_counts_without_the_final_dot() -> None:
    ready = envelope(1, wire_content(CONTENT), is_wire_ready=True)
    for limit, kind in ((len(CONTENT), OutcomeKind.SENT), (len(CONTENT) - 1, OutcomeKind.SENDER_REFUSED)):
        with (
            ScriptedServer(offers=[f"SIZE {limit}"]) as server,
            open_connection(server.settings()) as connection,
        ):
            outcome = connection.send(ready)
        assert outcome.kind is kind
        assert (outcome.reason is Reason.TOO_BIG) == (kind is OutcomeKind.SENDER_REFUSED)
