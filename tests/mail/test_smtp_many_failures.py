"""Several connections, one of which breaks, hangs, floods or does not read: the others go on, nobody is mistaken."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from campaigns.mail.smtp import Envelope, OutcomeKind, Reason
from tests.mail.outcomes import NOT_HANDED_OVER, SENT, TEMPORARY, UNCERTAIN
from tests.mail.scripted_server import HANG_UP, IMPATIENT, SILENCE, Talk, envelope, envelopes, refs
from tests.mail.ways import MOST_MAILS, Way, until
from tests.parts import wait_until

LARGE = b"Subject: large\r\n\r\n" + (b"y" * 70 + b"\r\n") * 300_000
LOSSES = {
    "hangs up": HANG_UP,
    "closes": "421 4.3.2 closing",
    "talks nonsense": "what is this",
    "breaks off": lambda talk: talk.sock.sendall(b"250-2.0.0 first\r\n250 sec") or HANG_UP,
}


def break_at(way: Way, step: str, loss: object) -> OutcomeKind:
    """Let the second connection be lost at its second mail; returns what that mail comes to."""
    usual = {"mail": "250 ok", "rcpt": "250 ok", "data": "354 go", "content": "250 ok"}[step]
    way.script(1, step, usual, loss)
    if step != "content":
        return NOT_HANDED_OVER
    return TEMPORARY if str(loss).startswith("421") else UNCERTAIN


def is_one_lost(way: Way) -> bool:
    return any(kind is not SENT for kind in way.kinds.values())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "content"])
def test_a_connection_lost_at_a_step_takes_nobody_of_the_others_along(way: Way, step: str, loss: str) -> None:
    """Another is in mid-content meanwhile: its answer comes when the loss is known."""
    if step not in way.steps:
        return
    kind = break_at(way, step, LOSSES[loss])
    way.script(0, "content", lambda _: wait_until(lambda: is_one_lost(way)) and "250 2.0.0 queued")
    connections = way.open(3)
    source = until(lambda: is_one_lost(way) and way.over(0))
    kinds = way.send(connections, source)
    assert sorted(kinds) == list(range(len(kinds))), "nobody is lost"
    assert list(kinds.values()).count(kind) >= 1
    assert Counter(each for each in kinds.values() if each not in (SENT, NOT_HANDED_OVER)) == (
        {} if kind is NOT_HANDED_OVER else {kind: 1}
    )
    assert list(kinds.values()).count(NOT_HANDED_OVER) <= 2
    assert [each.is_open for each in connections] == [True, False, True]
    certainly = sorted(ref for ref, each in kinds.items() if each is SENT)
    assert sorted(ref for ref in refs(way.server) if kinds[ref] is not UNCERTAIN) == certainly


def test_a_connection_without_an_answer_to_a_content_holds_up_nobody_but_the_next_window(way: Way) -> None:
    """The others finish the window; it is given up at its deadline, and then the next window comes."""
    way.script(1, "content", SILENCE)
    before: list[tuple[int, int]] = []

    def windows() -> Iterator[Envelope | None]:
        yield from envelopes(40)
        yield None
        before.append((len(way.settled), list(way.kinds.values()).count(UNCERTAIN)))
        yield from (envelope(number) for number in range(40, 60))

    kinds = way.send([*way.open(1), *way.open(1, timeouts=IMPATIENT), *way.open(1)], windows())
    assert before == [(40, 1)]
    assert sorted(kinds) == list(range(60))
    (silent,) = [ref for ref, kind in kinds.items() if kind is UNCERTAIN]
    assert way.settled[silent].reason is Reason.TIMEOUT
    others = [ref for ref in kinds if ref < 40 and kinds[ref] is SENT]
    assert list(kinds).index(silent) > max(list(kinds).index(ref) for ref in others)
    assert all(kinds[ref] is SENT for ref in range(40, 60))


@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "content"])
def test_a_deadline_acts_though_others_are_busy_all_the_time(way: Way, step: str) -> None:
    if step not in way.steps:
        return
    way.script(1, step, SILENCE)
    connections = [*way.open(1), *way.open(1, timeouts=IMPATIENT)]
    kinds = way.send(connections, until(lambda: is_one_lost(way)))
    assert len(kinds) < MOST_MAILS
    assert next(kind for kind in kinds.values() if kind is not SENT) is (
        UNCERTAIN if step == "content" else NOT_HANDED_OVER
    )


def has_content(talk: Talk) -> bool:
    return talk.number == 0 and talk.heard.startswith(("DATA", "BDAT"))


def large_first(source: Iterator[Envelope]) -> Iterator[Envelope]:
    return (each._replace(content=LARGE) if each.ref == 0 else each for each in source)


def test_a_server_that_does_not_read_a_large_mail_holds_up_nobody(way: Way) -> None:
    """It reads on when some have come over the other connection."""
    way.server.before_reading = lambda talk: has_content(talk) and wait_until(lambda: len(way.over(1)) >= 20)
    kinds = way.send(way.open(2), large_first(until(lambda: len(way.over(1)) >= 20)))
    assert set(kinds.values()) == {SENT}
    assert list(kinds).index(0) >= 19
    assert [len(mail.content) for mail in way.server.mails if len(mail.content) > 1000] == [len(LARGE)]


def test_a_server_that_never_reads_a_large_mail_is_given_up(way: Way) -> None:
    way.server.before_reading = lambda talk: has_content(talk) and way.server.closing.wait(60)
    kinds = way.send([*way.open(1, timeouts=IMPATIENT), *way.open(1)], large_first(envelopes(30)))
    assert sorted(kinds) == list(range(30))
    assert kinds[0] is UNCERTAIN
    assert way.settled[0].reason is Reason.TIMEOUT
    assert list(kinds.values()).count(NOT_HANDED_OVER) <= 1


def test_a_server_that_talks_instead_of_reading_is_left_and_nobody_else(way: Way) -> None:
    def flood(talk: Talk) -> None:
        if has_content(talk) and len(talk.buffer) > 1000:
            with contextlib.suppress(OSError):
                for _ in range(200):
                    talk.sock.sendall(b"250-and so on\r\n" * 8_000)
            raise EOFError

    way.server.before_reading = flood
    kinds = way.send(way.open(2), large_first(envelopes(30)))
    assert sorted(kinds) == list(range(30))
    assert kinds[0] is UNCERTAIN
    assert Counter(kinds.values())[SENT] >= 28


def test_large_mails_over_all_connections_arrive_whole(way: Way) -> None:
    content = LARGE[:3_000_000] + b"\r\n.\r\n..\r\nend\r\n"
    kinds = way.send(way.open(3), (envelope(number, content) for number in range(9)))
    assert kinds == dict.fromkeys(range(9), SENT)
    assert {mail.content for mail in way.server.mails} == {content}


MISHAPS = [
    "450 4.7.1 later", "550 5.1.1 no", "552 full", "421 bye", HANG_UP, "what?", "250-two\n250 lines",
    "451-two\n451 lines", "354 now?",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_connections_meet_each_mail_is_settled_once_and_as_what_it_is(way: Way, seed: int) -> None:
    chance = random.Random(seed)
    share = chance.choice([0.03, 0.2])
    way.server.octets_at_once = chance.choice([0, 0, 3])
    connections = way.open(5)
    for number in range(5):
        for step in way.steps:
            way.script(number, step, *(chance.choice(MISHAPS) if chance.random() < share else None for _ in range(60)))
    taken: list[int] = []

    def pausing() -> Iterator[Envelope | None]:
        for each in envelopes(120):
            if chance.random() < 0.1:
                yield None
                assert sorted(way.settled) == taken
            taken.append(each.ref)
            yield each

    kinds = way.send(connections, pausing(), most_each=40)
    assert sorted(kinds) == taken
    accepted = refs(way.server)
    assert len(accepted) == len(set(accepted))
    assert {ref for ref, kind in kinds.items() if kind is SENT} <= set(accepted)
    assert all(kinds[ref] in (SENT, UNCERTAIN) for ref in accepted)
    assert {ref for ref, kind in kinds.items() if kind is UNCERTAIN} <= set(way.noted)
