"""BDAT (RFC 3030): octets counted exactly and left as they are, RSET after a refusal, DATA where it is not offered."""

from __future__ import annotations

import re
from base64 import encodebytes
from collections.abc import Callable

import pytest

from campaigns.mail.smtp import Connection, Envelope, Meaning, OutcomeKind, Phase, Reason, open_connection
from campaigns.mail.smtp_envelope import canonical_content, wire_content
from tests.mail.outcomes import NOT_HANDED_OVER, PERMANENT, SENDER_REFUSED, SENT, TEMPORARY, UNCERTAIN
from tests.mail.scripted_server import HANG_UP, IMPATIENT, SILENCE, ScriptedServer, envelope, envelopes, kinds, refs

OFFERS = {"pipelined": ["PIPELINING", "CHUNKING", "SIZE 1000000"], "plain": ["CHUNKING", "SIZE 1000000"]}
KOREAN = encodebytes("안녕하세요, 가을 소식입니다. ".encode() * 400).replace(b"\n", b"\r\n")


@pytest.fixture(params=["pipelined", "plain"])
def offers(request: pytest.FixtureRequest) -> list[str]:
    return OFFERS[request.param]


def chunked(server: ScriptedServer, **changes) -> Connection:
    return open_connection(server.settings(**{"use_chunking": True, **changes}))


def verbs(server: ScriptedServer) -> list[str]:
    return [command.partition(" ")[0] for command in server.commands]


CONTENTS = [
    b".\r\n",
    b"..\r\n",
    b".\r\n.\r\n..\r\n...\r\n.",
    b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\nBDAT 5 LAST\r\n",
    b"a\r\n.b\r\n..c\r\n",
    b"",
    b"no line end",
    b"a\n.\nb\r.\r\n\r",
    b"Subject: x\r\n\r\n" + KOREAN,
]


@pytest.mark.parametrize("is_wire_ready", [False, True])
@pytest.mark.parametrize("content", CONTENTS)
def test_the_octets_are_counted_exactly_and_no_dot_is_doubled(
    offers: list[str], content: bytes, is_wire_ready: bool
) -> None:
    written = wire_content(content) if is_wire_ready else content
    expected = canonical_content(content)
    with ScriptedServer(offers=offers) as server, chunked(server) as connection:
        assert connection.chunking
        source = [envelope(n, written, is_wire_ready=is_wire_ready) for n in range(3)]
        assert kinds(connection, iter(source)) == [(0, SENT), (1, SENT), (2, SENT)]
        assert [mail.content for mail in server.mails] == [expected] * 3
        assert server.commands.count(f"BDAT {len(expected)} LAST") == 3
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", b"".join(server.writes))
        assert "DATA" not in verbs(server)


def test_pipelined_the_chunk_and_the_next_envelope_travel_in_one_write() -> None:
    with ScriptedServer(offers=OFFERS["pipelined"]) as server, chunked(server) as connection:
        kinds(connection, envelopes(3))
        joined = [write for write in server.writes if write.startswith(b"BDAT 24 LAST\r\nSubject:")]
        assert len(joined) == 3
        assert [b"\r\nbody\r\nMAIL FROM:" in write for write in joined] == [True, True, False]
        assert len(server.writes) == 5, "EHLO, the first envelope, and one write for each mail"


def test_nothing_is_pipelined_when_only_chunking_is_offered() -> None:
    with ScriptedServer(offers=["CHUNKING"]) as server, chunked(server) as connection:
        kinds(connection, envelopes(3))
        assert not [write for write in server.writes if b"MAIL" in write and (b"RCPT" in write or b"BDAT" in write)]


def test_size_and_the_other_wishes_stay_as_with_data() -> None:
    offers = ["CHUNKING", "SIZE 99999", "DSN", "SMTPUTF8", "8BITMIME"]
    said = []
    for use_chunking in (True, False):
        with ScriptedServer(offers=offers) as server, chunked(server, use_chunking=use_chunking) as connection:
            assert connection.send(envelope(1, recipient="한글@example.org", envelope_id="c7-1")).kind is SENT
            said.append([line for line in server.commands if line.startswith(("MAIL", "RCPT"))])
    assert said[0] == said[1]
    assert said[0][0] == "MAIL FROM:<news@example.com> SIZE=24 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=c7-1"


@pytest.mark.parametrize(
    ("use_chunking", "offers"), [(False, ["PIPELINING", "CHUNKING"]), (True, ["PIPELINING"]), (True, [])]
)
def test_data_is_used_where_bdat_is_not_wished_for_or_not_offered(use_chunking: bool, offers: list[str]) -> None:
    with ScriptedServer(offers=offers) as server, chunked(server, use_chunking=use_chunking) as connection:
        assert not connection.chunking
        assert kinds(connection, envelopes(2)) == [(0, SENT), (1, SENT)]
        assert verbs(server).count("DATA") == 2
        assert "BDAT" not in verbs(server)


def test_a_refused_recipient_gets_no_chunk_and_touches_nobody_else(offers: list[str]) -> None:
    rcpt = ["250 ok", "550 5.1.1 unknown", "452 4.2.2 full", "250 ok"]
    noted: list[int] = []
    with ScriptedServer(offers=offers, rcpt=rcpt) as server, chunked(server) as connection:
        settled = kinds(connection, envelopes(5), handing_over=lambda each: noted.append(each.ref))
        assert settled == [(0, SENT), (1, PERMANENT), (2, TEMPORARY), (3, SENT), (4, SENT)]
        assert refs(server) == [0, 3, 4]
        assert verbs(server).count("BDAT") == 3
        assert verbs(server).count("RSET") == 2
    assert noted == [0, 3, 4], "nothing of the others was handed over"


def test_the_note_is_written_before_the_first_octet_of_the_chunk_command(offers: list[str]) -> None:
    seen: list[bool] = []
    with ScriptedServer(offers=offers) as server, chunked(server) as connection:
        note: Callable[[Envelope], None] = lambda each: seen.append(verbs(server).count("BDAT") == each.ref)  # noqa: E731
        assert kinds(connection, envelopes(4), handing_over=note) == [(n, SENT) for n in range(4)]
    assert seen == [True] * 4


def test_nothing_leaves_when_the_note_cannot_be_written(offers: list[str]) -> None:
    def note(settling: Envelope) -> None:
        if settling.ref == 1:
            raise OSError("disk full")

    with ScriptedServer(offers=offers) as server, chunked(server) as connection:
        settled = []
        with pytest.raises(OSError, match="disk full"):
            for sent, outcome in connection.send_all(envelopes(5), note):
                settled.append((sent.ref, outcome.kind))
        assert settled[:2] == [(0, SENT), (1, NOT_HANDED_OVER)]
        assert verbs(server).count("BDAT") == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("554 5.7.1 spam", PERMANENT), ("452 4.3.1 full", TEMPORARY), ("552 5.3.4 too big", PERMANENT)],
)
def test_after_a_refused_chunk_rset_comes_before_the_next_mail(
    offers: list[str], answer: str, kind: OutcomeKind
) -> None:
    bdat = ["250 ok", answer, "250 ok"]
    with ScriptedServer(offers=offers, bdat=bdat) as server, chunked(server) as connection:
        assert kinds(connection, envelopes(4)) == [(0, SENT), (1, kind), (2, SENT), (3, SENT)]
        assert refs(server) == [0, 2, 3], "the next is delivered over the same connection, once"
        assert server.connections == 1
        after = verbs(server)[verbs(server).index("RSET") - 3 :]
        travelled = ["MAIL", "RCPT"] if "PIPELINING" in offers else ["RCPT", "BDAT"]
        assert after[1:7] == [*travelled, "RSET", "MAIL", "RCPT", "BDAT"]


def test_the_last_refused_chunk_leaves_the_connection_fit_for_the_next_batch(offers: list[str]) -> None:
    with ScriptedServer(offers=offers, bdat=["554 5.7.1 spam", "250 ok"]) as server, chunked(server) as connection:
        assert kinds(connection, envelopes(1)) == [(0, PERMANENT)]
        assert verbs(server)[-1] == "RSET"
        assert connection.is_alive()
        assert kinds(connection, iter([envelope(7)])) == [(7, SENT)]
        assert server.connections == 1


def test_a_server_that_refuses_a_chunk_and_closes_takes_nobody_along(offers: list[str]) -> None:
    with ScriptedServer(offers=offers, bdat="554 5.7.1 spam\n421 4.3.2 closing") as server:
        connection = chunked(server)
        source = envelopes(3)
        assert kinds(connection, source) == [(0, PERMANENT), (1, NOT_HANDED_OVER)]
        assert [left.ref for left in source] == [2]
        assert not connection.is_open


@pytest.mark.parametrize("rset", ["500 what?", "421 closing", HANG_UP])
def test_a_server_that_knows_no_way_back_is_left(offers: list[str], rset: str) -> None:
    with ScriptedServer(offers=offers, bdat="554 5.7.1 spam", rset=rset) as server:
        connection = chunked(server)
        source = envelopes(3)
        settled = kinds(connection, source)
        assert settled == [(0, PERMANENT), (1, NOT_HANDED_OVER)]
        assert [left.ref for left in source] == [2]
        assert refs(server) == []
        assert not connection.is_open


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_server_that_refuses_the_command_is_left_and_burns_nobodys_attempt(offers: list[str], code: int) -> None:
    """It offers CHUNKING and does not know BDAT: that is about the set-up, and its ears may be full of our octets."""
    with ScriptedServer(offers=offers, bdat=f"{code} 5.5.1 what?") as server:
        connection = chunked(server)
        (first, outcome), *rest = connection.send_all(envelopes(2))
        assert (first.ref, outcome.kind, outcome.meaning) == (0, SENDER_REFUSED, Meaning.SENDER_REFUSED)
        assert (outcome.phase, outcome.reason, outcome.suppresses) == (Phase.CONTENT, Reason.PROTOCOL_ERROR, False)
        assert all(later.kind is NOT_HANDED_OVER for _, later in rest)
        assert not connection.is_open


@pytest.mark.parametrize(
    ("step", "answer", "kind"),
    [
        ("mail", HANG_UP, NOT_HANDED_OVER),
        ("rcpt", HANG_UP, NOT_HANDED_OVER),
        ("mail", "421 4.3.2 closing", NOT_HANDED_OVER),
        ("rcpt", "421 4.3.2 closing", NOT_HANDED_OVER),
        ("bdat", HANG_UP, UNCERTAIN),
        ("bdat", "gibberish", UNCERTAIN),
        ("bdat", "354 go on?", UNCERTAIN),
        ("bdat", "421 4.3.2 closing", TEMPORARY),
    ],
)
def test_a_connection_lost_at_a_step_leads_to_the_right_state(
    offers: list[str], step: str, answer: str, kind: OutcomeKind
) -> None:
    with ScriptedServer(offers=offers, **{step: ["250 ok", answer]}) as server:
        connection = chunked(server)
        source = envelopes(5)
        settled = kinds(connection, source)
        rest = [left.ref for left in source]
        assert settled[:2] == [(0, SENT), (1, kind)]
        assert all(entry[1] is NOT_HANDED_OVER for entry in settled[2:])
        assert [entry[0] for entry in settled] + rest == [0, 1, 2, 3, 4], "nobody is lost"
        assert not connection.is_open


@pytest.mark.parametrize(("step", "kind"), [("mail", NOT_HANDED_OVER), ("rcpt", NOT_HANDED_OVER), ("bdat", UNCERTAIN)])
def test_a_silent_server_never_holds_us(offers: list[str], step: str, kind: OutcomeKind) -> None:
    with ScriptedServer(offers=offers, **{step: SILENCE}) as server:
        outcome = chunked(server, timeouts=IMPATIENT).send(envelope(1))
        assert (outcome.kind, outcome.reason) == (kind, Reason.TIMEOUT)


def test_large_chunks_do_not_deadlock_with_a_server_that_talks_while_it_reads() -> None:
    def chatter(talk) -> str:
        talk.sock.sendall(b"250-ok\r\n" * 2000)
        return "250 ok"

    with ScriptedServer(offers=["PIPELINING", "CHUNKING"], bdat=chatter) as server, chunked(server) as connection:
        assert kinds(connection, envelopes(4, (b"z" * 70 + b"\r\n") * 100_000)) == [(n, SENT) for n in range(4)]
