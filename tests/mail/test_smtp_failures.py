"""What is known when the server refuses, goes silent, or hangs up in mid-dialogue: nobody lost, nobody mistaken."""

from __future__ import annotations

import socket

import pytest

from campaigns.mail.smtp import OutcomeKind, Phase, Reason, open_connection
from tests.mail.outcomes import NOT_HANDED_OVER, PERMANENT, SENDER_REFUSED, SENT, TEMPORARY, UNCERTAIN
from tests.mail.scripted_server import HANG_UP, IMPATIENT, SILENCE, ScriptedServer, envelope, envelopes, kinds, refs
from tests.parts import wait_until
from tests.stopwatch import Stopwatch

STATE_TABLE = [
    ("mail", "450 4.7.1 slow", TEMPORARY, True),
    ("mail", "550 5.7.1 no", SENDER_REFUSED, True),
    ("mail", "552 5.3.4 too big", SENDER_REFUSED, True),
    ("mail", "421 4.3.2 closing", NOT_HANDED_OVER, False),
    ("mail", HANG_UP, NOT_HANDED_OVER, False),
    ("mail", "what is this", NOT_HANDED_OVER, False),
    ("rcpt", "450 4.2.0 greylisted", TEMPORARY, True),
    ("rcpt", "550 5.1.1 unknown", PERMANENT, True),
    ("rcpt", "552 too many recipients", TEMPORARY, True),
    ("rcpt", "554 5.7.1 Relay access denied", SENDER_REFUSED, True),
    ("rcpt", "421 4.3.2 closing", NOT_HANDED_OVER, False),
    ("rcpt", HANG_UP, NOT_HANDED_OVER, False),
    ("data", "451 4.3.0 error", TEMPORARY, True),
    ("data", "554 5.6.0 no", PERMANENT, True),
    ("data", "421 4.3.2 closing", NOT_HANDED_OVER, False),
    ("data", HANG_UP, NOT_HANDED_OVER, False),
    ("data", "250 not even SMTP", NOT_HANDED_OVER, False),
    ("dot", "451 4.3.0 queue", TEMPORARY, True),
    ("dot", "554 5.7.1 spam", PERMANENT, True),
    ("dot", "421 4.3.2 closing", TEMPORARY, False),
    ("dot", HANG_UP, UNCERTAIN, False),
    ("dot", "gibberish", UNCERTAIN, False),
    ("dot", "354 again?", UNCERTAIN, False),
]


@pytest.mark.parametrize(("step", "answer", "kind", "stays_open"), STATE_TABLE)
def test_an_answer_at_any_step_leads_to_the_right_state(
    offers: list[str], step: str, answer: str, kind: OutcomeKind, stays_open: bool
) -> None:
    good = {"mail": "250 ok", "rcpt": "250 ok", "data": "354 go", "dot": "250 ok"}[step]
    with ScriptedServer(offers=offers, **{step: [good, answer, good]}) as server:
        connection = open_connection(server.settings())
        source = envelopes(5)
        settled = kinds(connection, source)
        rest = [left.ref for left in source]
        connection.close()
        if stays_open:
            assert settled == [(0, SENT), (1, kind), (2, SENT), (3, SENT), (4, SENT)]
            assert rest == []
        else:
            assert settled[:2] == [(0, SENT), (1, kind)]
            assert all(entry[1] is NOT_HANDED_OVER for entry in settled[2:])
            assert [entry[0] for entry in settled] + rest == [0, 1, 2, 3, 4], "nobody is lost"
            assert not connection.is_open
        certainly_sent = [ref for ref, outcome in settled if outcome is SENT]
        assert [ref for ref in refs(server) if (ref, UNCERTAIN) not in settled] == certainly_sent


@pytest.mark.parametrize(
    ("step", "kind"),
    [("mail", NOT_HANDED_OVER), ("rcpt", NOT_HANDED_OVER), ("data", NOT_HANDED_OVER), ("dot", UNCERTAIN)],
)
def test_a_silent_server_never_holds_us(offers: list[str], step: str, kind: OutcomeKind) -> None:
    with ScriptedServer(offers=offers, **{step: SILENCE}) as server:
        connection = open_connection(server.settings(timeouts=IMPATIENT))
        stopwatch = Stopwatch()
        outcome = connection.send(envelope(1))
        assert (outcome.kind, outcome.reason) == (kind, Reason.TIMEOUT)
        assert stopwatch.seconds < 3


def test_a_server_that_drips_its_answer_is_held_to_the_deadline_of_the_whole_answer() -> None:
    def drip(talk) -> str:
        for _ in range(60):
            talk.sock.sendall(b"2")
            talk.sleep(0.1)
        return HANG_UP

    with ScriptedServer(mail=drip) as server:
        connection = open_connection(server.settings(timeouts=IMPATIENT))
        stopwatch = Stopwatch()
        assert connection.send(envelope(1)).reason is Reason.TIMEOUT
        assert stopwatch.seconds < 4


def test_an_answer_that_never_ends_is_refused() -> None:
    def flood(talk) -> str:
        talk.sock.sendall(b"250-more\r\n" * 20_000)
        return HANG_UP

    with ScriptedServer(mail=flood) as server:
        assert open_connection(server.settings()).send(envelope(1)).kind is NOT_HANDED_OVER


def test_a_server_that_stops_reading_in_mid_content_never_holds_us() -> None:
    def freeze(talk) -> str:
        talk.say("354 go")
        return SILENCE

    with ScriptedServer(data=freeze) as server:
        connection = open_connection(server.settings(timeouts=IMPATIENT))
        outcome = connection.send(envelope(1, b"x" * 70 + b"\r\n" * 1 + (b"y" * 70 + b"\r\n") * 300_000))
        assert (outcome.kind, outcome.reason) == (UNCERTAIN, Reason.TIMEOUT)


def test_a_refusal_in_mid_content_is_believed_although_the_write_fails(offers: list[str]) -> None:
    def refuse(talk) -> str:
        talk.say("354 go")
        while len(talk.buffer) < 100_000:
            talk.receive()
        talk.say("552 5.3.4 too big")
        talk.sock.shutdown(socket.SHUT_WR)
        talk.sleep(0.3)
        return HANG_UP

    with ScriptedServer(offers=[*offers[:-1], "SIZE"], data=refuse) as server:
        connection = open_connection(server.settings())
        outcome = connection.send(envelope(1, (b"y" * 70 + b"\r\n") * 300_000))
        assert (outcome.kind, outcome.code, outcome.reason) == (PERMANENT, 552, Reason.TOO_BIG)
        assert not connection.is_open


def test_large_messages_do_not_deadlock_with_a_server_that_talks_while_it_reads() -> None:
    """The server writes a long answer before it reads on, so both buffers are full unless we read while writing."""

    def chatter(talk) -> str:
        talk.sock.sendall(b"250-ok\r\n" * 2000)
        return "250 ok"

    with ScriptedServer(offers=["PIPELINING"], dot=chatter) as server, open_connection(server.settings()) as connection:
        assert kinds(connection, envelopes(4, (b"z" * 70 + b"\r\n") * 100_000)) == [(n, SENT) for n in range(4)]


def test_the_connection_lost_between_two_calls_loses_nobody() -> None:
    with ScriptedServer(noop=HANG_UP) as server:
        connection = open_connection(server.settings())
        assert connection.send(envelope(1)).kind is SENT
        connection._session.wire.write(b"NOOP\r\n", Phase.MAIL, 1)
        wait_until(lambda: not any(thread.is_alive() for thread in server.threads[1:]), what="the server to hang up")
        source = envelopes(3)
        assert kinds(connection, source) == [(0, NOT_HANDED_OVER)]
        assert [left.ref for left in source] == [1, 2]
        assert kinds(connection, source) == []
