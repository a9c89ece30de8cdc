"""Sending over one connection: what arrives, how it travels, and what the caller can rely on."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from campaigns.mail.smtp import Envelope, Outcome, Phase, Reason, open_connection
from tests.mail.outcomes import NOT_HANDED_OVER, PERMANENT, SENDER_REFUSED, SENT, TEMPORARY
from tests.mail.scripted_server import QUICK, ScriptedServer, envelope, envelopes, kinds, refs


def test_messages_arrive_whole_once_and_in_order(offers: list[str]) -> None:
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        assert connection.pipelining is ("PIPELINING" in offers)
        assert kinds(connection, envelopes(50)) == [(number, SENT) for number in range(50)]
        assert connection.messages_sent == 50
        assert connection.is_open
        assert connection.is_alive()
        assert kinds(connection, iter([envelope(50)])) == [(50, SENT)]
        assert refs(server) == list(range(51))
        assert {mail.content for mail in server.mails} == {b"Subject: hello\r\n\r\nbody\r\n"}
        assert all(len(mail.recipients) == 1 for mail in server.mails)


def test_an_outcome_keeps_the_servers_words() -> None:
    with ScriptedServer(dot="250 2.0.0 Ok: queued as 4F2A") as server, open_connection(server.settings()) as connection:
        outcome = connection.send(envelope(1))
        assert (outcome.kind, outcome.phase, outcome.code) == (SENT, Phase.CONTENT, 250)
        assert (outcome.enhanced, outcome.text, outcome.reason) == (
            "2.0.0",
            "2.0.0 Ok: queued as 4F2A",
            Reason.ACCEPTED,
        )


@pytest.mark.parametrize(
    "content",
    [
        b".\r\n",
        b"..\r\n",
        b".\r\n.\r\n..\r\n...\r\n",
        b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
        b"a\r\n.b\r\n..c\r\n",
        b"",
        b"no line end",
    ],
)
def test_lines_that_start_with_a_dot_come_through(offers: list[str], content: bytes) -> None:
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        assert connection.send(envelope(1, content)).kind is SENT
        expected = content if content.endswith(b"\r\n") else content + b"\r\n"
        assert [mail.content for mail in server.mails] == [expected]


@pytest.mark.parametrize(
    "content", [b"a\n.\nb", b"a\r.\rb", b"a\n.\r\nb\r\n", b"a\r\n.\nb\r", b"\n.\r\n", b"a\r\r\n.\r\n"]
)
def test_no_bare_line_end_ever_leaves(offers: list[str], content: bytes) -> None:
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        assert connection.send(envelope(1, content)).kind is SENT
        connection.close()
        everything = b"".join(server.writes)
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", everything)
        assert len(server.mails) == 1


def test_pipelined_the_content_and_the_next_envelope_travel_in_one_write() -> None:
    with ScriptedServer(offers=["PIPELINING"]) as server, open_connection(server.settings()) as connection:
        kinds(connection, envelopes(3))
        joined = [write for write in server.writes if b"body\r\n.\r\nMAIL FROM:" in write]
        assert len(joined) == 2
        assert all(write.endswith(b"DATA\r\n") for write in joined)


def test_nothing_is_pipelined_when_it_is_not_offered() -> None:
    with ScriptedServer(offers=[]) as server, open_connection(server.settings()) as connection:
        kinds(connection, envelopes(3))
        assert all(write.count(b"\r\n") == 1 or b"Subject" in write for write in server.writes)
        assert not [write for write in server.writes if b"MAIL" in write and b"RCPT" in write]


def test_a_refused_recipient_touches_nobody_else(offers: list[str]) -> None:
    rcpt = ["250 ok", "550 5.1.1 unknown", "452 4.2.2 full", "250 ok"]
    with ScriptedServer(offers=offers, rcpt=rcpt) as server, open_connection(server.settings()) as connection:
        outcomes = dict(enumerate(outcome for _, outcome in connection.send_all(envelopes(5))))
        assert [outcome.kind for outcome in outcomes.values()] == [SENT, PERMANENT, TEMPORARY, SENT, SENT]
        assert outcomes[1].reason is Reason.NO_SUCH_ADDRESS
        assert outcomes[1].suppresses
        assert (outcomes[2].reason, outcomes[2].suppresses) == (Reason.MAILBOX_FULL, False)
        assert refs(server) == [0, 3, 4]


def test_pipelined_a_lone_dot_ends_data_that_nobody_accepted() -> None:
    with ScriptedServer(offers=["PIPELINING"], rcpt=["550 5.1.1 no", "250 ok"]) as server:
        with open_connection(server.settings()) as connection:
            assert kinds(connection, envelopes(2)) == [(0, PERMANENT), (1, SENT)]
        assert [mail.content for mail in server.mails if not mail.recipients] == [b""]
        assert "RSET" not in server.commands


def test_pipelined_rset_leads_the_next_group_when_data_was_refused_too() -> None:
    script = {"rcpt": ["550 5.1.1 no", "250 ok"], "data": ["503 5.5.1 no valid recipients", "354 go"]}
    with ScriptedServer(offers=["PIPELINING"], **script) as server:
        with open_connection(server.settings()) as connection:
            assert kinds(connection, envelopes(2)) == [(0, PERMANENT), (1, SENT)]
        assert any(write.startswith(b"RSET\r\nMAIL FROM") for write in server.writes)


def test_a_server_that_wants_content_after_refusing_the_sender_gets_no_empty_mail() -> None:
    with ScriptedServer(offers=["PIPELINING"], mail="550 5.7.1 no", data=["354 go"]) as server:
        with open_connection(server.settings()) as connection:
            assert kinds(connection, envelopes(2)) == [(0, SENDER_REFUSED)]
            assert not connection.is_open
        assert server.mails == []


def test_handing_over_is_called_before_the_content_leaves(offers: list[str]) -> None:
    noted: list[tuple[int, int]] = []
    rcpt = ["250 ok", "550 5.1.1 no", "250 ok"]
    with ScriptedServer(offers=offers, rcpt=rcpt) as server, open_connection(server.settings()) as connection:
        for _ in connection.send_all(envelopes(4), lambda e: noted.append((e.ref, len(refs(server))))):
            pass
    assert noted == [(0, 0), (2, 1), (3, 2)], "only for those whose content is sent, and before it is"


def test_nothing_is_handed_over_when_the_note_cannot_be_written(offers: list[str]) -> None:
    def note(settling: Envelope) -> None:
        if settling.ref == 1:
            raise OSError("disk full")

    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        source, settled = envelopes(5), []
        with pytest.raises(OSError, match="disk full"):
            for sent, outcome in connection.send_all(source, note):
                settled.append((sent.ref, outcome.kind))
        assert settled[:2] == [(0, SENT), (1, NOT_HANDED_OVER)]
        assert [ref for ref, _ in settled] + [left.ref for left in source] == [0, 1, 2, 3, 4]
        assert not connection.is_open
        assert refs(server) == [0]


def test_stopping_finishes_what_is_open_and_takes_no_more(offers: list[str]) -> None:
    stopped = threading.Event()
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        source, settled = envelopes(10), []
        for sent, outcome in connection.send_all(source, stop=stopped.is_set):
            settled.append((sent.ref, outcome.kind))
            if sent.ref == 2:
                stopped.set()
        assert len(settled) <= 5
        assert all(kind is SENT for _, kind in settled)
        assert [ref for ref, _ in settled] + [left.ref for left in source] == list(range(10))
        assert connection.is_alive()


def test_an_error_in_the_callers_iterator_waits_for_what_is_open(offers: list[str]) -> None:
    def failing() -> Iterator[Envelope]:
        yield from envelopes(3)
        raise RuntimeError("database away")

    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        settled = []
        with pytest.raises(RuntimeError, match="database away"):
            for sent, outcome in connection.send_all(failing()):
                settled.append((sent.ref, outcome.kind))
        assert settled == [(0, SENT), (1, SENT), (2, SENT)]
        assert connection.is_alive()
        assert refs(server) == [0, 1, 2]


def test_a_pause_in_the_iterator_finishes_what_is_open_first(offers: list[str]) -> None:
    arrived: list[int] = []

    def pausing(server: ScriptedServer) -> Iterator[Envelope | None]:
        for number in range(3):
            yield envelope(number)
            yield None
            arrived.append(len(server.accepted))

    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        assert kinds(connection, pausing(server)) == [(0, SENT), (1, SENT), (2, SENT)]
        assert arrived == [1, 2, 3]


def test_leaving_the_loop_early_closes_the_connection(offers: list[str]) -> None:
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        sending = connection.send_all(envelopes(5))
        next(sending)
        sending.close()
        assert not connection.is_open


def test_what_cannot_be_sent_is_settled_without_a_word_to_the_server(offers: list[str]) -> None:
    source = [
        envelope(0),
        envelope(1, recipient="a@example.com>\r\nRCPT TO:<b@example.com"),
        envelope(2, recipient="한글@example.com"),
        envelope(3, sender="no address"),
        envelope(4, content=b"x" * 1_000_001),
        envelope(5),
    ]
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        outcomes: dict[int, Outcome] = {sent.ref: outcome for sent, outcome in connection.send_all(iter(source))}
        assert list(outcomes) == [0, 1, 2, 3, 4, 5]
        assert [outcome.kind for outcome in outcomes.values()] == [
            SENT, PERMANENT, PERMANENT, SENDER_REFUSED, SENDER_REFUSED, SENT,
        ]  # fmt: skip
        assert [outcomes[ref].reason for ref in (1, 2, 3, 4)] == [
            Reason.BAD_ADDRESS,
            Reason.UNSENDABLE_EAI,
            Reason.SENDER_REFUSED,
            Reason.TOO_BIG,
        ]
        assert refs(server) == [0, 5]
        assert "b@example.com" not in " ".join(server.commands)


def test_size_is_announced_only_where_it_is_offered() -> None:
    for offers, expected in (
        (["SIZE 99999"], "MAIL FROM:<news@example.com> SIZE=24"),
        ([], "MAIL FROM:<news@example.com>"),
    ):
        with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
            connection.send(envelope(1))
            assert expected in server.commands


def test_short_bounces_that_name_the_mail_are_asked_for_only_where_that_is_offered() -> None:
    mail = envelope(1, recipient="kim+news=1@example.org", envelope_id="c7-1 +")
    with ScriptedServer(offers=["DSN", "SIZE"]) as server, open_connection(server.settings()) as connection:
        assert connection.send(mail).kind is SENT
        assert connection.send(envelope(2)).kind is SENT
        assert connection.send(envelope(3, sender="", envelope_id="m3")).kind is SENT
        assert [line for line in server.commands if line.startswith(("MAIL", "RCPT"))] == [
            "MAIL FROM:<news@example.com> SIZE=24 RET=HDRS ENVID=c7-1+20+2B",
            "RCPT TO:<kim+news=1@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;kim+2Bnews+3D1@example.org",
            "MAIL FROM:<news@example.com> SIZE=24 RET=HDRS",
            "RCPT TO:<user2@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;user2@example.org",
            "MAIL FROM:<> SIZE=24",
            "RCPT TO:<user3@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;user3@example.org",
        ]
    with ScriptedServer(offers=["SIZE"]) as server, open_connection(server.settings()) as connection:
        assert connection.send(mail).kind is SENT
        assert server.commands[1:3] == ["MAIL FROM:<news@example.com> SIZE=24", "RCPT TO:<kim+news=1@example.org>"]


def test_an_address_beyond_ascii_goes_without_its_original_form() -> None:
    offers = ["DSN", "SMTPUTF8", "8BITMIME", "PIPELINING"]
    with ScriptedServer(offers=offers) as server, open_connection(server.settings()) as connection:
        assert connection.send(envelope(1, recipient="한글@한글.test", envelope_id="c7-1")).kind is SENT
        assert "MAIL FROM:<news@example.com> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=c7-1" in server.commands
        assert "RCPT TO:<한글@xn--bj0bj06e.test> NOTIFY=FAILURE,DELAY" in server.commands


def test_smtputf8_is_asked_for_only_where_an_address_needs_it() -> None:
    with ScriptedServer(offers=["SMTPUTF8", "8BITMIME"]) as server, open_connection(server.settings()) as connection:
        connection.send(envelope(1))
        assert connection.send(envelope(2, recipient="한글@한글.test")).kind is SENT
        assert [line for line in server.commands if "MAIL" in line] == [
            "MAIL FROM:<news@example.com>",
            "MAIL FROM:<news@example.com> BODY=8BITMIME SMTPUTF8",
        ]
        assert "RCPT TO:<한글@xn--bj0bj06e.test>" in server.commands


def test_the_null_sender_is_written_as_empty() -> None:
    with ScriptedServer() as server, open_connection(server.settings()) as connection:
        assert connection.send(envelope(1, sender="")).kind is SENT
        assert "MAIL FROM:<>" in server.commands


def test_sending_over_a_unix_socket(tmp_path) -> None:
    with ScriptedServer(unix_path=str(tmp_path / "smtp")) as server, open_connection(server.settings()) as connection:
        assert connection.send(envelope(1)).kind is SENT


def test_closing_says_quit_and_may_be_repeated() -> None:
    with ScriptedServer() as server:
        connection = open_connection(server.settings(timeouts=QUICK))
        connection.close()
        connection.close()
        assert server.commands[-1] == "QUIT"
        assert not connection.is_open
        assert not connection.is_alive()
