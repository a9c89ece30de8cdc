"""Sending many messages over one session: pipelined (RFC 2920) where the server offers it, step by step where not.

Pipelined, one message costs one round trip: `content . MAIL RCPT DATA` is one write, of which the last three belong to
the message after. Both ways share one loop, so that they cannot judge differently.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

from campaigns.mail.replies import Phase, Reason
from campaigns.mail.smtp_envelope import (
    Envelope,
    Message,
    Outcome,
    OutcomeKind,
    outcome_of_loss,
    outcome_of_reply,
    prepare,
)
from campaigns.mail.smtp_errors import SessionLost
from campaigns.mail.smtp_session import Session
from campaigns.mail.smtp_wire import GO_AHEAD, Reply

SERVER_CLOSING = 421
LONE_DOT = b".\r\n"
RESET = b"RSET\r\n"

Settled = tuple[Envelope, Outcome]
Command = tuple[Phase, bytes, float]  # with how many seconds its answer may take


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

    def send_all(
        self, envelopes: Iterator[Envelope | None], handing_over: Callable[[Envelope], None], stop: Callable[[], bool]
    ) -> Iterator[Settled]:
        """See `Connection.send_all`, which this does."""
        source = _Source(self._session, envelopes, stop)
        finished = False
        try:
            yield from self._send_each(source, handing_over)
            finished = True
        finally:
            if not finished:
                self.abort()
        if source.error is not None:
            raise source.error

    def abort(self) -> None:
        """Close without a word: the only safe way when the server may be waiting for content."""
        self.usable = False
        self._wire.close()

    def _send_each(self, source: _Source, handing_over: Callable[[Envelope], None]) -> Iterator[Settled]:
        way_back = b""
        message: Message | None = None
        while self.usable:
            if message is None:
                message = source.take()
                yield from source.settled()
                try:
                    self._begin(way_back, message)
                except SessionLost as error:
                    yield from self._not_handed_over(error, message)
                    return
                way_back = b""
                if message is None:
                    if source.ended:
                        return
                    continue
            answer = self._open(message)
            if answer.outcome is None:
                message = yield from self._hand_over(message, source, handing_over)
            else:
                way_back = answer.way_back
                envelope, message = message.envelope, None
                yield envelope, answer.outcome

    def _begin(self, way_back: bytes, message: Message | None) -> None:
        """Leave a refused transaction, if there is one; pipelined, start the next in the same write."""
        group = self._group(message) if message is not None and self.pipelining else b""
        if way_back or group:
            self._wire.write(way_back + group, Phase.MAIL, self._timeouts.command)
        if way_back:
            reply = self._wire.read_reply(Phase.MAIL, self._timeouts.command)
            if reply.code == SERVER_CLOSING or (way_back == RESET and not reply.positive):
                reason = outcome_of_reply(Phase.MAIL, reply).reason
                raise SessionLost(Phase.MAIL, reason, reply.text, code=reply.code, enhanced=reply.enhanced)

    def _open(self, message: Message) -> Answer:
        """Bring all commands before the content behind us. Nothing of the content has left when this returns."""
        if self.pipelining and self._wire.take_go_ahead():
            return _ACCEPTED
        refusal: Outcome | None = None
        accepted: set[Phase] = set()
        try:
            for phase, command, timeout_seconds in self._steps(message):
                reply = self._step(command, phase, timeout_seconds)
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

    def _step(self, command: bytes, phase: Phase, timeout_seconds: float) -> Reply:
        """The reply to a command; pipelined, the command has left with its group already."""
        if not self.pipelining:
            self._wire.write(command, phase, timeout_seconds)
        return self._wire.read_reply(phase, timeout_seconds)

    def _refusal(self, phase: Phase, reply: Reply) -> Outcome:
        if not 400 <= reply.code < 600:
            raise SessionLost(phase, Reason.PROTOCOL_ERROR, f"unexpected reply {reply.code} {reply.text}")
        if reply.code == SERVER_CLOSING:
            self.abort()
        return outcome_of_reply(phase, reply)

    def _hand_over(
        self, message: Message, source: _Source, handing_over: Callable[[Envelope], None]
    ) -> Generator[Settled, None, Message | None]:
        """Send the content, and pipelined with it the group of the message after, which is returned."""
        following = source.take() if self.pipelining else None
        try:
            handing_over(message.envelope)
        except Exception as error:
            lost = SessionLost(Phase.DATA, Reason.CONNECTION_LOST, f"given up before the content: {error}")
            yield from self._not_handed_over(lost, message, following)
            yield from source.settled()
            raise
        outcome = self._exchange_content(self._wire_form(message.envelope), following)
        yield message.envelope, outcome
        yield from source.settled()
        if self.usable or following is None:
            return following
        lost = SessionLost(Phase.MAIL, outcome.reason, outcome.text, code=outcome.code, enhanced=outcome.enhanced)
        yield from self._not_handed_over(lost, following)
        return None

    def _exchange_content(self, content: bytes, following: Message | None) -> Outcome:
        data = content + self._group(following) if following is not None else content
        limits = self._timeouts
        self.messages_sent += 1
        try:
            self._wire.write(
                data, Phase.CONTENT, limits.data_block, overall_seconds=limits.data_block + limits.final_dot
            )
        except SessionLost as error:
            return self._outcome_of_failed_write(error, len(content))
        try:
            reply = self._wire.read_reply(Phase.CONTENT, limits.final_dot)
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


class _Source:
    """The caller's envelopes, one at a time. An error in fetching one waits until the open ones are settled."""

    def __init__(self, session: Session, envelopes: Iterator[Envelope | None], stop: Callable[[], bool]) -> None:
        self._session = session
        self._envelopes = envelopes
        self._stop = stop
        self._settled: list[Settled] = []
        self.ended = False
        self.error: Exception | None = None

    def take(self) -> Message | None:
        """The next message; None when there is none now: the end, a pause, or one that was settled without sending."""
        if self.ended:
            return None
        try:
            if self._stop():
                self.ended = True
                return None
            envelope = next(self._envelopes)
        except StopIteration:
            self.ended = True
            return None
        except Exception as error:
            self.ended, self.error = True, error
            return None
        if envelope is None:
            return None
        prepared = prepare(self._session, envelope)
        if isinstance(prepared, Message):
            return prepared
        self._settled.append((envelope, prepared))
        return None

    def settled(self) -> Sequence[Settled]:
        """Those that could not be sent at all, each returned once."""
        if not self._settled:
            return ()
        settled, self._settled = self._settled, []
        return settled
