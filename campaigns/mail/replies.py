"""What a mail server's answer means, and for whom: a table, not a guess.

The first digit decides (RFC 5321 §4.2.1); the enhanced code (RFC 3463) says why, as long as its class agrees with that
digit; known wordings help where the codes are too general. Whom an answer concerns follows from the phase and the
reason: many servers answer only at RCPT what they mean about the sender or the client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from campaigns.mail.reply_tables import (
    ABOUT_THE_RECIPIENT,
    ABOUT_THE_SENDER,
    GENERAL_DETAILS,
    LOGIN_CODES,
    REASON_BY_CODE,
    REASON_BY_DETAIL,
    REASON_BY_SUBJECT,
    REASON_BY_WORDS,
    SUPPRESSING_DETAILS,
    SUPPRESSING_WORDS,
    Reason,
)

__all__ = ["Judgement", "Meaning", "Phase", "Reason", "enhanced_code", "judge"]


class Phase(StrEnum):
    """The step of a session that an answer, or a loss, belongs to."""

    ADDRESS = "address"
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"


class Meaning(StrEnum):
    """Whom an answer concerns, and whether trying again can help."""

    ACCEPTED = "accepted"
    RECIPIENT_TEMPORARY = "recipient_temporary"
    RECIPIENT_PERMANENT = "recipient_permanent"
    SENDER_TEMPORARY = "sender_temporary"
    SENDER_REFUSED = "sender_refused"
    CONTENT_TEMPORARY = "content_temporary"
    CONTENT_REFUSED = "content_refused"
    CONNECTION_TEMPORARY = "connection_temporary"
    CONNECTION_REFUSED = "connection_refused"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer means. `suppresses`: this address is bad for good, and no campaign should try it again."""

    meaning: Meaning
    reason: Reason
    suppresses: bool = False


_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_ACCEPTED = Judgement(Meaning.ACCEPTED, Reason.ACCEPTED)
_SESSION_PHASES = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})


def judge(phase: Phase, code: int, enhanced: str = "", text: str = "") -> Judgement:
    """What an answer means in this phase, by the state table of RFC 5321 §4.3.2 and RFC 3463.

    `enhanced` is what `enhanced_code` found in the text, or empty. 354 counts as accepted. A code outside 2xx to 5xx
    counts as a temporary refusal of the connection, by a server that does not speak the protocol.
    """
    if 200 <= code < 300 or (code == 354 and phase is Phase.DATA):
        return _ACCEPTED
    if not 400 <= code < 600:
        return Judgement(Meaning.CONNECTION_TEMPORARY, Reason.PROTOCOL_ERROR)
    detail = _agreeing_detail(code, enhanced)
    reason, by_words = _reason(phase, code, detail, text)
    meaning = _meaning(phase, code, reason)
    # Under 5.7.x "unknown user" is often how a server words a block, and a block never condemns an address.
    telling_words = by_words and reason in SUPPRESSING_WORDS and not detail.startswith("7.")
    known_bad = detail in SUPPRESSING_DETAILS or telling_words
    return Judgement(meaning, reason, known_bad and meaning is Meaning.RECIPIENT_PERMANENT)


def enhanced_code(text: str) -> str:
    """The enhanced status code at the start of a reply's text (RFC 2034 §3), or the empty string."""
    found = _ENHANCED.match(text)
    return found.group() if found else ""


def _agreeing_detail(code: int, enhanced: str) -> str:
    """`subject.detail` of the enhanced code; empty when there is none or its class contradicts the reply's digit."""
    return enhanced[2:] if enhanced[:1] == str(code)[0] else ""


def _reason(phase: Phase, code: int, detail: str, text: str) -> tuple[Reason, bool]:
    """The reason, and whether it was found in the words only."""
    if phase in _SESSION_PHASES:
        return _session_reason(phase, code, detail), False
    if not detail or detail in GENERAL_DETAILS:
        for reason, pattern in REASON_BY_WORDS:
            if pattern.search(text):
                return reason, True
    if code in LOGIN_CODES:
        return REASON_BY_CODE[code], False
    if code < 500 and detail.startswith("7.") and REASON_BY_DETAIL.get(detail, Reason.BLOCKED) is Reason.BLOCKED:
        return Reason.THROTTLED, False
    if detail in REASON_BY_DETAIL:
        return _fitting(phase, REASON_BY_DETAIL[detail]), False
    if detail.partition(".")[0] in REASON_BY_SUBJECT:
        return _fitting(phase, REASON_BY_SUBJECT[detail.partition(".")[0]]), False
    return _reason_by_code(phase, code), False


def _reason_by_code(phase: Phase, code: int) -> Reason:
    if phase is Phase.RCPT and code in (452, 552):
        return Reason.TOO_MANY_RECIPIENTS
    if phase in (Phase.DATA, Phase.CONTENT) and code in (550, 554):
        return Reason.CONTENT_REFUSED
    general = Reason.TRY_LATER if code < 500 else Reason.REFUSED
    return _fitting(phase, REASON_BY_CODE.get(code, general))


def _fitting(phase: Phase, reason: Reason) -> Reason:
    """What is wrong with an address at MAIL is wrong with the sender's."""
    if phase is Phase.MAIL and reason in ABOUT_THE_RECIPIENT:
        return Reason.SENDER_REFUSED
    return reason


def _session_reason(phase: Phase, code: int, detail: str) -> Reason:
    if code == 421:
        return Reason.SERVER_CLOSING
    if phase is Phase.AUTH:
        return Reason.AUTH_FAILED if code in (535, 534, 538, 530) or detail == "7.8" else Reason.AUTH_UNAVAILABLE
    if phase is Phase.STARTTLS:
        return Reason.TLS_UNAVAILABLE
    return Reason.SERVER_BUSY if code < 500 else Reason.SERVICE_REFUSED


def _meaning(phase: Phase, code: int, reason: Reason) -> Meaning:
    temporary = code < 500
    if phase in _SESSION_PHASES or code == 421:
        return Meaning.CONNECTION_TEMPORARY if temporary else Meaning.CONNECTION_REFUSED
    if phase is Phase.MAIL or reason in ABOUT_THE_SENDER:
        return Meaning.SENDER_TEMPORARY if temporary else Meaning.SENDER_REFUSED
    if phase is Phase.RCPT:
        # 552 at RCPT is an old way to say "too many recipients for now" (RFC 5321 §4.5.3.1.10).
        return Meaning.RECIPIENT_TEMPORARY if temporary or code == 552 else Meaning.RECIPIENT_PERMANENT
    if reason in ABOUT_THE_RECIPIENT:
        return Meaning.RECIPIENT_TEMPORARY if temporary else Meaning.RECIPIENT_PERMANENT
    return Meaning.CONTENT_TEMPORARY if temporary else Meaning.CONTENT_REFUSED
