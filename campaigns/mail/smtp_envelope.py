"""One message to one person: what is asked of the server, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from campaigns.mail.addresses import AddressError, WireAddress, wire_address
from campaigns.mail.notifications import notify_parameters, return_parameters
from campaigns.mail.replies import Meaning, Phase, Reason, judge
from campaigns.mail.smtp_errors import SessionLost
from campaigns.mail.smtp_session import Session
from campaigns.mail.smtp_wire import Reply

FINAL_DOT = b".\r\n"


class Envelope(NamedTuple):
    """`sender` empty is the null sender; `content` is a whole message; `ref` is the caller's and never sent.

    With `is_wire_ready` the content is what `wire_content` would make of it, final dot and all, and goes out untouched.
    `envelope_id` comes back in a bounce as Original-Envelope-Id, where the server offers that (RFC 3461 §4.4).
    """

    sender: str
    recipient: str
    content: bytes
    ref: int
    is_wire_ready: bool = False
    envelope_id: str = ""

    @property
    def wire_form(self) -> bytes:
        """The content as it goes on the wire after DATA."""
        return self.content if self.is_wire_ready else wire_content(self.content)

    @property
    def size_octets(self) -> int:
        """What SIZE announces: the message without the final dot (RFC 1870 §5)."""
        return len(self.content) - len(FINAL_DOT) if self.is_wire_ready else len(self.content)


class OutcomeKind(StrEnum):
    """What the caller has to write down.

    `sent`: the server owns it. `temporary`: not accepted, try this recipient later. `permanent`: refused for good.
    `sender_refused`: the refusal is about us (sender, log-in, set-up); the same awaits every other recipient.
    `not_handed_over`: the connection ended before any of the content left, sending again is safe at once.
    `uncertain`: the content left, the answer did not come; nobody here can know.
    """

    SENT = "sent"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    SENDER_REFUSED = "sender_refused"
    NOT_HANDED_OVER = "not_handed_over"
    UNCERTAIN = "uncertain"


class Outcome(NamedTuple):
    """`code` 0: no answer of the server, it was lost or decided here. `text`: the server's own words, maybe more lines.

    `suppresses` says that the address is bad for good (5.1.1 and its like), by `replies.judge`.
    """

    kind: OutcomeKind
    phase: Phase
    code: int
    enhanced: str
    text: str
    reason: Reason
    meaning: Meaning
    suppresses: bool = False


class Message(NamedTuple):
    """An envelope as commands, ready for this session."""

    envelope: Envelope
    mail: bytes
    rcpt: bytes


_KIND_BY_MEANING = {
    Meaning.ACCEPTED: OutcomeKind.SENT,
    Meaning.RECIPIENT_TEMPORARY: OutcomeKind.TEMPORARY,
    Meaning.RECIPIENT_PERMANENT: OutcomeKind.PERMANENT,
    Meaning.SENDER_TEMPORARY: OutcomeKind.TEMPORARY,
    Meaning.SENDER_REFUSED: OutcomeKind.SENDER_REFUSED,
    Meaning.CONTENT_TEMPORARY: OutcomeKind.TEMPORARY,
    Meaning.CONTENT_REFUSED: OutcomeKind.PERMANENT,
    Meaning.CONNECTION_TEMPORARY: OutcomeKind.NOT_HANDED_OVER,
    Meaning.CONNECTION_REFUSED: OutcomeKind.NOT_HANDED_OVER,
}


def prepare(session: Session, envelope: Envelope) -> Message | Outcome:
    """The commands for an envelope, or the outcome when it cannot be sent in this session; nothing is written."""
    try:
        sender = _sender_path(envelope.sender)
    except AddressError as error:
        return _refused_here(Meaning.SENDER_REFUSED, Reason.SENDER_REFUSED, f"sender address: {error.reason}")
    try:
        recipient = wire_address(envelope.recipient)
    except AddressError as error:
        return _refused_here(Meaning.RECIPIENT_PERMANENT, Reason.BAD_ADDRESS, f"recipient address: {error.reason}")
    size_octets = envelope.size_octets
    if 0 < session.size_limit < size_octets:
        text = f"the server takes {session.size_limit} octets, this message has {size_octets}"
        return _refused_here(Meaning.SENDER_REFUSED, Reason.TOO_BIG, text)
    return _message(session.offers, envelope, sender, recipient, size_octets)


def outcome_of_reply(phase: Phase, reply: Reply) -> Outcome:
    enhanced = reply.enhanced
    if reply.positive:
        return Outcome(OutcomeKind.SENT, phase, reply.code, enhanced, reply.text, Reason.ACCEPTED, Meaning.ACCEPTED)
    judgement = judge(phase, reply.code, enhanced, reply.text)
    kind = _KIND_BY_MEANING[judgement.meaning]
    if phase is Phase.CONTENT and kind is OutcomeKind.NOT_HANDED_OVER:
        # 421 to the final dot stands for 451 (RFC 5321 §3.8): the content was there, and was not taken.
        kind = OutcomeKind.TEMPORARY
    return Outcome(
        kind, phase, reply.code, enhanced, reply.text, judgement.reason, judgement.meaning, judgement.suppresses
    )


def outcome_of_loss(kind: OutcomeKind, error: SessionLost) -> Outcome:
    return Outcome(
        kind, error.phase, error.code, error.enhanced, error.text, error.reason, Meaning.CONNECTION_TEMPORARY
    )


def wire_content(content: bytes) -> bytes:
    """The content as it goes on the wire: CRLF line ends only, dots doubled (RFC 5321 §4.5.2), the final dot added."""
    content = canonical_content(content)
    if b"\n." in content:
        content = content.replace(b"\n.", b"\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + FINAL_DOT


def canonical_content(content: bytes) -> bytes:
    """The content with CRLF for every line end, and at its own end."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _message(
    offers: Mapping[str, str], envelope: Envelope, sender: WireAddress | None, recipient: WireAddress, size_octets: int
) -> Message | Outcome:
    parameters = f" SIZE={size_octets}" if "SIZE" in offers else ""
    if recipient.needs_smtputf8 or (sender is not None and sender.needs_smtputf8):
        if "SMTPUTF8" not in offers:
            text = "the address needs SMTPUTF8, which the server does not offer"
            return _refused_here(Meaning.RECIPIENT_PERMANENT, Reason.UNSENDABLE_EAI, text)
        parameters += " BODY=8BITMIME SMTPUTF8" if "8BITMIME" in offers else " SMTPUTF8"
    wishes = ""
    if "DSN" in offers:
        parameters += return_parameters(envelope.envelope_id) if sender else ""
        wishes = notify_parameters(recipient)
    mail = f"MAIL FROM:<{sender or ''}>{parameters}\r\n".encode()
    return Message(envelope, mail, f"RCPT TO:<{recipient}>{wishes}\r\n".encode())


@lru_cache(maxsize=256)
def _sender_path(address: str) -> WireAddress | None:
    return wire_address(address) if address else None


def _refused_here(meaning: Meaning, reason: Reason, text: str) -> Outcome:
    return Outcome(_KIND_BY_MEANING[meaning], Phase.ADDRESS, 0, "", text, reason, meaning)
