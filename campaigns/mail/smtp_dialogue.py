"""Sending many messages over one session: pipelined (RFC 2920) where the server offers it, step by step where not.

Pipelined, one message costs one round trip: `content . MAIL RCPT DATA` is one write, of which the last three belong to
the message after. Both ways share one loop, so that they cannot judge differently. The loop stops wherever it would
have to wait; smtp_many.py drives any number of them together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

from campaigns.mail.replies import Phase, Reason
from campaigns.mail.smtp_envelope import (
    Envelope,
    Message,
    Outcome,
    OutcomeKind,
    outcome_of_loss,
    outcome_of_reply,
)
from campaigns.mail.smtp_errors import SessionLost
from campaigns.mail.smtp_session import Session
from campaigns.mail.smtp_source import Settled, Source
from campaigns.mail.smtp_wire import GO_AHEAD, Reply, Wait

SERVER_CLOSING = 421
LONE_DOT = b".\r\n"
RESET = b"RSET\r\n"

Command = tuple[Phase, bytes, float]  # with how many seconds its answer may take


class Rest(Enum):
    """What a dialogue says when it has nothing to send until others are through."""

    PAUSED = "paused"


Event = Settled | Message | Wait | Rest
"""What a dialogue says on its way: an outcome; a message whose content leaves when it goes on; that it has to wait."""


class Answer(NamedTuple):
    """What MAIL, RCPT and DATA brought: no outcome when the content may go; else the outcome, and how to go on."""

    outcome: Outcome | None
    way_back: bytes = b""


_ACCEPTED = Answer(None)


class Dialogue:
    """The state of one session between messages. Not for several threads at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wire = session.wire
        self._timeouts = session.settings.timeouts
        self.pipelining = session.settings.use_pipelining and "PIPELINING" in session.offers
        self.messages_sent = 0
        self.usable = True
        self._left = 0  # how many messages it may still take

    def talk(self, source: Source, *, most: int) -> Generator[Event, None, None]:
        """Send what the source gives until it ends or the session is lost; after so many messages say goodbye.

        A Wait asks to go on when there is something to read or to write, or it is too late. After a Message its content
        leaves, unless `source.refusal` is set by then.
        """
        self._left = most
        way_back = b""
        message: Message | None = None
        while self.usable:
            if message is None:
                message = self._take(source)
                yield from source.settled()
                try:
                    yield from self._begin(way_back, message)
                except SessionLost as error:
                    yield from self._not_handed_over(error, message)
                    return
                way_back = b""
                if message is None:
                    if not self._left:
                        yield from self._say_goodbye()
                        return
                    if source.ended:
                        return
                    if source.is_pausing:
                        yield Rest.PAUSED
                    continue
            answer = yield from self._open(message)
            if answer.outcome is None:
                message = yield from self._hand_over(message, source)
            else:
                way_back = answer.way_back
                envelope, message = message.envelope, None
                yield envelope, answer.outcome

    def fileno(self) -> int:
        """The descriptor that its waits are about."""
        return self._wire.fileno()

    def abort(self) -> None:
        """Close without a word: the only safe way when the server may be waiting for content."""
        self.usable = False
        self._wire.close()

    def _take(self, source: Source) -> Message | None:
        message = source.take(self._session) if self._left else None
        if message is not None:
            self._left -= 1
        return message

    def _begin(self, way_back: bytes, message: Message | None) -> Generator[Wait, None, None]:
        """Leave a refused transaction, if there is one; pipelined, start the next in the same write."""
        group = self._group(message) if message is not None and self.pipelining else b""
        if way_back or group:
            yield from self._wire.writing(way_back + group, Phase.MAIL, self._timeouts.command)
        if way_back:
            reply = yield from self._wire.reading(Phase.MAIL, self._timeouts.command)
            if reply.code == SERVER_CLOSING or (way_back == RESET and not reply.positive):
                reason = outcome_of_reply(Phase.MAIL, reply).reason
                raise SessionLost(Phase.MAIL, reason, reply.text, code=reply.code, enhanced=reply.enhanced)

    def _say_goodbye(self) -> Generator[Wait, None, None]:
        """Make room for another connection, without making anybody wait for it."""
        with suppress(SessionLost):
            yield from self._wire.writing(b"QUIT\r\n", Phase.MAIL, self._timeouts.quit)
            yield from self._wire.reading(Phase.MAIL, self._timeouts.quit)
        self.abort()

    def _open(self, message: Message) -> Generator[Wait, None, Answer]:
        """Bring all commands before the content behind us. Nothing of the content has left when this returns."""
        if self.pipelining and self._wire.take_go_ahead():
            return _ACCEPTED
        refusal: Outcome | None = None
        accepted: set[Phase] = set()
        try:
            for phase, command, timeout_seconds in self._steps(message):
                reply = yield from self._step(command, phase, timeout_seconds)
                if reply.code == GO_AHEAD if phase is Phase.DATA else reply.positive:
                    accepted.add(phase)
                    continue
                refusal = refusal or self._refusal(phase, reply)
                if not self.pipelining or not self.usable:
                    return Answer(refusal, RESET)
            self._wire.refuse_surplus(Phase.DATA)
        except SessionLost as error:
            self.abort()
            return Answer(refusal or outcome_of_loss(OutcomeKind.NOT_HANDED_OVER, error))
        if refusal is not None and accepted >= {Phase.RCPT, Phase.DATA}:
            # MAIL refused, yet the rest accepted: a lone dot would be an empty mail to somebody.
            self.abort()
        return Answer(refusal, LONE_DOT if Phase.DATA in accepted else RESET)

    def _steps(self, message: Message) -> tuple[Command, ...]:
        return (
            (Phase.MAIL, message.mail, self._timeouts.command),
            (Phase.RCPT, message.rcpt, self._timeouts.command),
            (Phase.DATA, b"DATA\r\n", self._timeouts.data_start),
        )

    def _group(self, message: Message) -> bytes:
        """What `_steps` says, as one group; DATA may only be the last of a group (RFC 2920 §3.1)."""
        return message.mail + message.rcpt + b"DATA\r\n"

    def _wire_form(self, envelope: Envelope) -> bytes:
        """The content as it leaves once all commands were accepted."""
        return envelope.wire_form

    def _step(self, command: bytes, phase: Phase, timeout_seconds: float) -> Generator[Wait, None, Reply]:
        """The reply to a command; pipelined, the command has left with its group already."""
        if not self.pipelining:
            yield from self._wire.writing(command, phase, timeout_seconds)
        return (yield from self._wire.reading(phase, timeout_seconds))

    def _refusal(self, phase: Phase, reply: Reply) -> Outcome:
        if not 400 <= reply.code < 600:
            raise SessionLost(phase, Reason.PROTOCOL_ERROR, f"unexpected reply {reply.code} {reply.text}")
        if reply.code == SERVER_CLOSING:
            self.abort()
        return outcome_of_reply(phase, reply)

    def _hand_over(self, message: Message, source: Source) -> Generator[Event, None, Message | None]:
        """Send the content, and pipelined with it the group of the message after, which is returned."""
        following = self._take(source) if self.pipelining else None
        yield message
        if source.refusal is not None:
            text = f"given up before the content: {source.refusal}"
            lost = SessionLost(Phase.DATA, Reason.CONNECTION_LOST, text)
            yield from self._not_handed_over(lost, message, following)
            yield from source.settled()
            return None
        outcome = yield from self._exchange_content(self._wire_form(message.envelope), following)
        yield message.envelope, outcome
        yield from source.settled()
        if self.usable or following is None:
            return following
        lost = SessionLost(Phase.MAIL, outcome.reason, outcome.text, code=outcome.code, enhanced=outcome.enhanced)
        yield from self._not_handed_over(lost, following)
        return None

    def _exchange_content(self, content: bytes, following: Message | None) -> Generator[Wait, None, Outcome]:
        data = content + self._group(following) if following is not None else content
        limits = self._timeouts
        self.messages_sent += 1
        try:
            yield from self._wire.writing(
                data, Phase.CONTENT, limits.data_block, overall_seconds=limits.data_block + limits.final_dot
            )
        except SessionLost as error:
            return self._outcome_of_failed_write(error, len(content))
        try:
            reply = yield from self._wire.reading(Phase.CONTENT, limits.final_dot)
        except SessionLost as error:
            self.abort()
            return outcome_of_loss(OutcomeKind.UNCERTAIN, error)
        return self._outcome_of_final_dot(reply)

    def _outcome_of_final_dot(self, reply: Reply) -> Outcome:
        if reply.code == SERVER_CLOSING:
            self.abort()
        if reply.positive or 400 <= reply.code < 600:
            return outcome_of_reply(Phase.CONTENT, reply)
        self.abort()
        error = SessionLost(Phase.CONTENT, Reason.PROTOCOL_ERROR, f"unexpected reply {reply.code} {reply.text}")
        return outcome_of_loss(OutcomeKind.UNCERTAIN, error)

    def _outcome_of_failed_write(self, error: SessionLost, content_length: int) -> Outcome:
        """A server that refuses in mid-content says so and hangs up; its answer may be here though the write failed."""
        reply = self._wire.pending_reply(Phase.CONTENT)
        self.abort()
        if error.written == 0:
            self.messages_sent -= 1
            return outcome_of_loss(OutcomeKind.NOT_HANDED_OVER, error)
        if reply is not None and (400 <= reply.code < 600 or (reply.positive and error.written >= content_length)):
            return outcome_of_reply(Phase.CONTENT, reply)
        return outcome_of_loss(OutcomeKind.UNCERTAIN, error)

    def _not_handed_over(self, error: SessionLost, *messages: Message | None) -> Iterator[Settled]:
        self.abort()
        for message in messages:
            if message is not None:
                yield message.envelope, outcome_of_loss(OutcomeKind.NOT_HANDED_OVER, error)
