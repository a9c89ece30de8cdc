"""One thread, several connections: each mail goes once, and who drives them can stop, pause, add, and give up."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from campaigns.mail.smtp import Envelope, send_over
from tests.mail.outcomes import NOT_HANDED_OVER, PERMANENT, SENDER_REFUSED, SENT, TEMPORARY
from tests.mail.scripted_server import HANG_UP, envelope, envelopes, refs
from tests.mail.ways import MOST_MAILS, Way, until
from tests.parts import wait_until


def left_of(source: Iterator[Envelope | None]) -> list[int]:
    return [each.ref for each in source if each is not None]


def test_every_mail_arrives_once_and_all_connections_carry_some(way: Way) -> None:
    connections = way.open(3)
    assert way.send(connections, envelopes(60)) == dict.fromkeys(range(60), SENT)
    assert sorted(refs(way.server)) == list(range(60))
    assert all(way.over(number) for number in range(3))
    assert sum(each.messages_sent for each in connections) == 60
    assert all(each.is_alive() for each in connections)


def test_answers_that_come_one_octet_at_a_time_are_told_apart(way: Way) -> None:
    way.server.octets_at_once = 1
    way.script(1, "rcpt", "250 ok", "550 5.1.1 unknown", "452-4.2.2 full\n452 4.2.2 really")
    kinds = way.send(way.open(3), until(lambda: TEMPORARY in way.kinds.values()))
    assert Counter(kind for kind in kinds.values() if kind is not SENT) == {PERMANENT: 1, TEMPORARY: 1}
    assert sorted(refs(way.server)) == sorted(ref for ref, kind in kinds.items() if kind is SENT)


def test_a_pause_finishes_what_is_open_on_all_connections_first(way: Way) -> None:
    def pausing() -> Iterator[Envelope | None]:
        for number in range(30):
            if number in (0, 1, 10, 11, 25):
                yield None
                assert sorted(way.settled) == list(range(number))
            yield envelope(number)
        yield None

    assert way.send(way.open(3), pausing()) == dict.fromkeys(range(30), SENT)


def test_stopping_finishes_what_is_open_and_takes_no_more(way: Way) -> None:
    connections, source = way.open(3), envelopes(60)
    kinds = way.send(connections, source, stop=lambda: len(way.settled) > 5)
    assert set(kinds.values()) == {SENT}
    assert sorted(kinds) + left_of(source) == list(range(60))
    assert len(kinds) <= 6 + 2 * 3
    assert all(each.is_alive() for each in connections)


def test_an_error_of_the_iterator_waits_for_what_is_open(way: Way) -> None:
    def failing() -> Iterator[Envelope]:
        yield from envelopes(7)
        raise RuntimeError("database away")

    connections = way.open(3)
    with pytest.raises(RuntimeError, match="database away"):
        way.send(connections, failing())
    assert way.kinds == dict.fromkeys(range(7), SENT)
    assert all(each.is_alive() for each in connections)


def test_when_the_note_cannot_be_written_none_of_those_leaves_and_what_has_left_is_finished(way: Way) -> None:
    """The first content has left and is not answered yet; those of two more connections are about to leave together."""
    first_left, refused = threading.Event(), threading.Event()
    verb, go = ("DATA", "354 go ahead") if way.last_before_content == "data" else ("RCPT", "250 2.1.5 ok")
    told: list[list[int]] = []

    def all_others(say: str) -> bool:
        return wait_until(lambda: all(getattr(talk, say).startswith((verb, go)) for talk in way.server.talks[1:]))

    way.script(0, way.last_before_content, lambda _: go if all_others("heard") else "")
    way.script(0, "content", lambda _: "250 2.0.0 queued" if refused.wait(60) else "")
    for number in (1, 2):
        way.script(number, way.last_before_content, lambda _: go if first_left.wait(60) else "")

    def note(leaving: Sequence[Envelope]) -> None:
        told.append([each.ref for each in leaving])
        if len(told) > 1:
            refused.set()
            raise OSError("disk full")
        way.note(leaving)
        first_left.set()
        all_others("said")

    connections, source = way.open(3), envelopes(20)
    with pytest.raises(OSError, match="disk full"):
        way.send(connections, source, note)
    assert [len(each) for each in told] == [1, 2]
    assert way.kinds[0] is SENT
    assert {kind for ref, kind in way.kinds.items() if ref} == {NOT_HANDED_OVER}
    assert sorted(way.kinds) + left_of(source) == list(range(20))
    assert way.came == [(0, 0)]
    assert not any(each.is_open for each in connections[1:])


def test_an_idle_connection_is_quiet_until_its_server_says_or_does_anything(way: Way) -> None:
    connections = way.open(3)
    assert all(each.is_quiet for each in connections)
    way.send(connections, envelopes(9))
    assert all(each.is_quiet for each in connections)
    way.server.talks[0].hear_no_more()
    way.server.talks[1].say("421 4.4.2 idle for too long")
    wait_until(lambda: not connections[0].is_quiet and not connections[1].is_quiet)
    assert connections[2].is_quiet
    connections[2].close()
    assert not connections[2].is_quiet


def test_leaving_the_loop_early_closes_all_connections(way: Way) -> None:
    connections = way.open(3)
    sending = send_over(connections, envelopes(20), way.note)
    next(sending)
    sending.close()
    assert not any(each.is_open for each in connections)


def test_a_connection_that_joins_is_used_from_then_on(way: Way) -> None:
    connections = way.open(1)

    def widening() -> Iterator[Envelope]:
        for each in envelopes(60):
            if each.ref in (10, 20):
                connections.extend(way.open(1))
            yield each

    assert way.send(connections, widening()) == dict.fromkeys(range(60), SENT)
    assert all(way.over(number) for number in range(3))


def test_a_connection_that_joins_need_not_wait_for_a_slow_answer(way: Way) -> None:
    """The first mail is answered only when all others have come over the connection that joined meanwhile."""
    connections = way.open(1)
    others = 1 if "PIPELINING" not in way.server.offers else 2  # with the first content, the next mail's commands go
    way.script(0, "content", lambda _: "250 ok" if wait_until(lambda: len(way.over(1)) == 20 - others) else "")
    joining = threading.Thread(target=lambda: wait_until(lambda: way.came) and connections.extend(way.open(1)))
    joining.start()
    assert way.send(connections, envelopes(20)) == dict.fromkeys(range(20), SENT)
    joining.join()


def test_a_connection_that_has_sent_its_most_is_closed_and_takes_nobody_along(way: Way) -> None:
    connections, source = way.open(2), envelopes(30)
    assert way.send([*connections[:1]], (envelope(number) for number in (100, 101))) == {100: SENT, 101: SENT}
    kinds = way.send(connections, source, most_each=8)
    assert set(kinds.values()) == {SENT}
    assert sorted([*kinds, *left_of(source)]) == [*range(30), 100, 101]
    assert [len(way.over(number)) for number in (0, 1)] == [8, 8]
    assert way.server.commands.count("QUIT") == 2
    assert not any(each.is_open for each in connections)


def test_a_sender_refused_over_one_connection_stops_the_others_with_what_they_have_begun(way: Way) -> None:
    way.script(1, "mail", "250 ok", "550 5.7.1 not you")
    connections, source = way.open(3), envelopes(60)
    kinds = way.send(connections, source, stop=lambda: SENDER_REFUSED in way.kinds.values())
    assert list(kinds.values()).count(SENDER_REFUSED) == 1
    assert set(kinds.values()) == {SENT, SENDER_REFUSED}
    assert sorted([*kinds, *left_of(source)]) == list(range(60))


def test_a_descriptor_may_come_again_with_another_connection(way: Way) -> None:
    """A connection is lost in the middle, and the next that is opened gets its number."""
    connections = way.open(3)
    lost = connections[1].fileno()
    way.script(1, "rcpt", "250 ok", "250 ok", HANG_UP)

    def reopening() -> Iterator[Envelope]:
        yield from until(lambda: not connections[1].is_open)
        with lowest_free(lost):
            connections.extend(way.open(1))
        yield from (envelope(number) for number in range(MOST_MAILS, MOST_MAILS + 60))

    kinds = way.send(connections, reopening())
    assert connections[3].fileno() == lost
    assert way.over(3)
    assert Counter(kind for kind in kinds.values() if kind is not SENT) == {NOT_HANDED_OVER: 1}
    assert sorted(refs(way.server)) == sorted(ref for ref, kind in kinds.items() if kind is SENT)


@contextmanager
def lowest_free(descriptor: int) -> Iterator[None]:
    """Let a free descriptor be the next that is given out."""
    with ExitStack() as taken:
        while (found := os.dup(2)) < descriptor:
            taken.callback(os.close, found)
        os.close(found)
        assert found == descriptor
        yield
