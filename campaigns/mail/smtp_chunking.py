"""BDAT instead of DATA (RFC 3030): the content's octets are counted, so nothing in it can look like its end.

One message is one chunk. Pipelined, it costs one round trip, as with DATA: `BDAT n LAST content MAIL RCPT` is one
write, of which the last two belong to the message after. Its chunk waits for their answers, though RFC 3030 would let
it travel along: a chunk whose recipient is refused is read as commands by servers that forget to skip it, and a server
that hangs up between two mails would leave a recipient uncertain who got nothing.
"""

from __future__ import annotations

from collections.abc import Generator

from campaigns.mail.replies import Meaning, Phase, Reason
from campaigns.mail.smtp_dialogue import RESET, SERVER_CLOSING, Answer, Command, Dialogue
from campaigns.mail.smtp_envelope import (
    FINAL_DOT,
    Envelope,
    Message,
    Outcome,
    OutcomeKind,
    canonical_content,
    outcome_of_loss,
    outcome_of_reply,
)
from campaigns.mail.smtp_errors import SessionLost
from campaigns.mail.smtp_session import Session
from campaigns.mail.smtp_wire import Reply, Wait

# Answers to a command, not to a mail: the server offers CHUNKING and does not know BDAT, or something between us does.
COMMAND_REFUSED = frozenset({500, 501, 502, 503, 504})


def dialogue_of(session: Session) -> Dialogue:
    """The dialogue for a session: with BDAT where that is wished for and offered in it, else with DATA."""
    return (
        ChunkedDialogue(session)
        if session.settings.use_chunking and "CHUNKING" in session.offers
        else Dialogue(session)
    )


class ChunkedDialogue(Dialogue):
    """A dialogue whose content leaves as one chunk. `_is_spoilt`: the last was refused, and RSET has to come next."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._is_spoilt = False

    def _begin(self, way_back: bytes, message: Message | None) -> Generator[Wait, None, None]:
        spoilt, self._is_spoilt = self._is_spoilt, False
        yield from super()._begin(RESET if spoilt else way_back, message)

    def _open(self, message: Message) -> Generator[Wait, None, Answer]:
        if self._is_spoilt:
            try:
                yield from self._begin_again(message)
            except SessionLost as error:
                self.abort()
                return Answer(outcome_of_loss(OutcomeKind.NOT_HANDED_OVER, error))
        return (yield from super()._open(message))

    def _begin_again(self, message: Message) -> Generator[Wait, None, None]:
        """Start a transaction anew whose commands travelled with a chunk that was refused.

        What they met is indeterminate until RSET (RFC 3030 §2), so their answers are read and not believed.
        """
        for phase, _, timeout_seconds in self._steps(message):
            reply = yield from self._wire.reading(phase, timeout_seconds)
            if reply.code == SERVER_CLOSING:
                reason = outcome_of_reply(phase, reply).reason
                raise SessionLost(phase, reason, reply.text, code=reply.code, enhanced=reply.enhanced)
        yield from self._begin(RESET, message)

    def _steps(self, message: Message) -> tuple[Command, ...]:
        return super()._steps(message)[:2]

    def _group(self, message: Message) -> bytes:
        return message.mail + message.rcpt

    def _wire_form(self, envelope: Envelope) -> bytes:
        content = chunk_content(envelope)
        return b"BDAT %d LAST\r\n%b" % (len(content), content)

    def _outcome_of_final_dot(self, reply: Reply) -> Outcome:
        if reply.code in COMMAND_REFUSED:
            # Whether it skipped the octets or takes them for commands, nobody can tell.
            self.abort()
            words = (reply.code, reply.enhanced, reply.text, Reason.PROTOCOL_ERROR, Meaning.SENDER_REFUSED)
            return Outcome(OutcomeKind.SENDER_REFUSED, Phase.CONTENT, *words)
        self._is_spoilt = not reply.positive
        return super()._outcome_of_final_dot(reply)


def chunk_content(envelope: Envelope) -> bytes:
    """The octets of the message itself, CRLF line ends only and at the end (RFC 3030 §3), no dot doubled."""
    content = envelope.content
    if not envelope.is_wire_ready:
        return canonical_content(content)
    if b"\n.." in content:
        content = content.replace(b"\n..", b"\n.")
    return content[content.startswith(b"..") : -len(FINAL_DOT)]
