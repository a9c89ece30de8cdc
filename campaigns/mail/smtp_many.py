"""One thread, many dialogues: while one server thinks, the others are talked to.

Between two waits all that have an answer are served together. What is about to leave is told of at once, and the
processor changes hands once for several mails: on a machine whose processes wake each other slowly, to hand over one at
a time costs as much as to build it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple, Protocol

from campaigns.mail.smtp_dialogue import Event, Rest
from campaigns.mail.smtp_envelope import Envelope, Message
from campaigns.mail.smtp_source import Settled, Source
from campaigns.mail.smtp_wire import Wait

LOOK_FOR_JOINERS_SECONDS = 0.1  # how long one that has joined may wait where nothing else happens

HandingOver = Callable[[Sequence[Envelope]], None]


class Talker(Protocol):
    """A dialogue, or what has one."""

    def talk(self, source: Source, *, most: int) -> Generator[Event, None, None]:
        """See `Dialogue.talk`."""
        ...

    def fileno(self) -> int:
        """The descriptor that its waits are about."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class _Talk(NamedTuple):
    events: Generator[Event, None, None]
    fileno: int


def talk_together(
    talkers: Sequence[Talker], source: Source, handing_over: HandingOver, *, most_each: int
) -> Generator[Settled, None, None]:
    """Send what the source gives over all of them; yield each outcome once known.

    Those that join while it runs are taken in. When the caller leaves early all are closed.
    """
    company = _Company(talkers, source, handing_over, most_each)
    finished = False
    try:
        yield from company.talk()
        finished = True
    finally:
        if not finished:
            for talker in talkers:
                talker.abort()
    if source.error is not None:
        raise source.error


class _Company:
    """The talks under way: who waits for a server, and who for something to send."""

    def __init__(self, talkers: Sequence[Talker], source: Source, handing_over: HandingOver, most_each: int) -> None:
        self._talkers = talkers
        self._source = source
        self._handing_over = handing_over
        self._most_each = most_each
        self._joined = 0
        self._poll = select.poll()
        self._waiting: dict[int, tuple[_Talk, float]] = {}
        self._paused: list[_Talk] = []

    def talk(self) -> Iterator[Settled]:
        """Serve all who can go on, until everybody has come to the end."""
        ready: list[_Talk] = []
        while True:
            ready += self._who_may_take()
            leaving: list[tuple[_Talk, Message]] = []
            for talk in ready:
                yield from self._go_on(talk, leaving)
            if leaving:
                self._tell([message.envelope for _, message in leaving])
                ready = [talk for talk, _ in leaving]
            elif self._waiting:
                ready = self._wait()
            elif self._paused:
                ready = []
            else:
                return

    def _who_may_take(self) -> list[_Talk]:
        """Those that paused, and those that have joined, as soon as the source may be asked."""
        if self._source.is_pausing and self._source.open:
            return []
        paused, self._paused = self._paused, []
        new = self._talkers[self._joined :]
        self._joined += len(new)
        return [*paused, *(_Talk(each.talk(self._source, most=self._most_each), each.fileno()) for each in new)]

    def _go_on(self, talk: _Talk, leaving: list[tuple[_Talk, Message]]) -> Iterator[Settled]:
        for event in talk.events:
            if isinstance(event, Wait):
                self._poll.register(talk.fileno, select.POLLIN | (select.POLLOUT if event.is_for_room else 0))
                self._waiting[talk.fileno] = talk, event.deadline
            elif isinstance(event, Message):
                leaving.append((talk, event))
            elif isinstance(event, Rest):
                self._paused.append(talk)
            else:
                self._source.open -= 1
                yield event
                continue
            return

    def _tell(self, envelopes: Sequence[Envelope]) -> None:
        if self._source.refusal is None:
            try:
                self._handing_over(envelopes)
            except Exception as error:
                self._source.refuse_content(error)

    def _wait(self) -> list[_Talk]:
        """Wait until one of them can go on, has waited for too long, or somebody may have joined."""
        earliest = min(deadline for _, deadline in self._waiting.values())
        left_seconds = min(earliest - time.monotonic(), LOOK_FOR_JOINERS_SECONDS)
        found = [fileno for fileno, _ in self._poll.poll(max(0, left_seconds) * 1000)]
        if left_seconds <= 0 or not found:
            now = time.monotonic()
            found += [each for each, (_, deadline) in self._waiting.items() if deadline <= now and each not in found]
        return [self._take_out(fileno) for fileno in found]

    def _take_out(self, fileno: int) -> _Talk:
        self._poll.unregister(fileno)
        return self._waiting.pop(fileno)[0]
