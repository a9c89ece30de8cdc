"""A server that says too much, breaks off in mid-word, or answers out of number: bounded, and nobody is mistaken."""

from __future__ import annotations

import contextlib

import pytest

from campaigns.mail.smtp import OutcomeKind, Reason, open_connection
from tests.mail.scripted_server import HANG_UP, IMPATIENT, ScriptedServer, Talk, envelope, envelopes, kinds, refs
from tests.stopwatch import Stopwatch

SENT, UNCERTAIN, NOT_HANDED_OVER = OutcomeKind.SENT, OutcomeKind.UNCERTAIN, OutcomeKind.NOT_HANDED_OVER
LARGE = (b"y" * 70 + b"\r\n") * 300_000
OFFERS = {"pipelined": ["PIPELINING"], "plain": []}


@pytest.fixture(params=["pipelined", "plain"])
def offers(request: pytest.FixtureRequest) -> list[str]:
    return OFFERS[request.param]


def test_a_server_that_talks_on_and_on_instead_of_reading_is_left(offers: list[str]) -> None:
    """Of what it says while we write, and after we have given up writing, little is read."""
    heard = []

    def flood(talk: Talk) -> str:
        talk.say("354 go")
        talk.receive()
        with contextlib.suppress(OSError):
            for _ in range(200):
                talk.sock.sendall(b"250-and so on\r\n" * 8_000)
                heard.append(8_000 * 15)
        return HANG_UP

    with ScriptedServer(offers=offers, data=flood) as server:
        stopwatch = Stopwatch()
        outcome = open_connection(server.settings()).send(envelope(1, LARGE))
        assert outcome.kind is UNCERTAIN
        assert stopwatch.seconds < 10
    assert sum(heard) < 10_000_000


@pytest.mark.parametrize(("step", "kind"), [("mail", NOT_HANDED_OVER), ("rcpt", NOT_HANDED_OVER), ("dot", UNCERTAIN)])
def test_a_line_of_ten_megabytes_is_not_waited_for(offers: list[str], step: str, kind: OutcomeKind) -> None:
    def ramble(talk: Talk) -> str:
        with contextlib.suppress(OSError):
            talk.sock.sendall(b"250 " + b"x" * 10_000_000)
        return "250 at last"

    with ScriptedServer(offers=offers, **{step: ramble}) as server:
        outcome = open_connection(server.settings()).send(envelope(1))
        assert (outcome.kind, outcome.reason, len(outcome.text) < 1000) == (kind, Reason.PROTOCOL_ERROR, True)


@pytest.mark.parametrize(
    "said", [b"", b"2", b"250", b"250 2.0.0 que", b"250-2.0.0 first\r\n250 sec", b"\x00\xff\xfe", b"5"]
)
@pytest.mark.parametrize(("step", "kind"), [("mail", NOT_HANDED_OVER), ("data", NOT_HANDED_OVER), ("dot", UNCERTAIN)])
def test_an_answer_that_breaks_off_is_none(offers: list[str], step: str, kind: OutcomeKind, said: bytes) -> None:
    def break_off(talk: Talk) -> str:
        talk.sock.sendall(said)
        return HANG_UP

    with ScriptedServer(offers=offers, **{step: break_off}) as server:
        source = envelopes(4)
        settled = kinds(open_connection(server.settings()), source)
        assert settled[0] == (0, kind)
        assert all(each is NOT_HANDED_OVER for _, each in settled[1:])
        assert [ref for ref, _ in settled] + [left.ref for left in source] == [0, 1, 2, 3]


@pytest.mark.parametrize("surplus", ["250 2.0.0 queued", "550 5.7.1 no", "250-two\n250 lines"])
def test_an_answer_to_content_that_has_not_left_is_believed_by_nobody(offers: list[str], surplus: str) -> None:
    """The server refuses the mail it really gets: whoever believed the early answer would count it as sent."""
    with ScriptedServer(offers=offers, data=f"354 go\n{surplus}", dot="554 5.7.1 refused") as server:
        settled = kinds(open_connection(server.settings()), envelopes(3))
        assert settled == [(0, NOT_HANDED_OVER)]
        assert server.mails == []


@pytest.mark.parametrize("step", ["mail", "rcpt"])
def test_one_answer_too_many_or_too_few_mistakes_nobody(offers: list[str], step: str) -> None:
    with ScriptedServer(offers=offers, **{step: ["250 ok", "250 ok\n250 ok", "250 ok"]}) as server:
        settled = kinds(open_connection(server.settings(timeouts=IMPATIENT)), envelopes(4))
        assert settled[0] == (0, SENT)
        assert [ref for ref, kind in settled if kind is SENT] == refs(server)
        assert all(kind in (SENT, NOT_HANDED_OVER) for _, kind in settled)
