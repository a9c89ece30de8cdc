"""The tables behind `replies.judge`: codes and wordings of mail servers → reasons."""

from __future__ import annotations

import re
from enum import StrEnum


class Reason(StrEnum):
    """Why, as a stable code that pages put into words."""

    ACCEPTED = "accepted"
    NO_SUCH_ADDRESS = "no_such_address"
    NO_SUCH_DOMAIN = "no_such_domain"
    BAD_ADDRESS = "bad_address"
    UNSENDABLE_EAI = "unsendable_eai"
    MAILBOX_DISABLED = "mailbox_disabled"
    MAILBOX_MOVED = "mailbox_moved"
    MAILBOX_FULL = "mailbox_full"
    GREYLISTED = "greylisted"
    THROTTLED = "throttled"
    BLOCKED = "blocked"
    NOT_AUTHENTICATED = "not_authenticated"
    CONTENT_REFUSED = "content_refused"
    TOO_BIG = "too_big"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    NOT_DELIVERABLE = "not_deliverable"
    SENDER_REFUSED = "sender_refused"
    RELAY_DENIED = "relay_denied"
    CLIENT_REFUSED = "client_refused"
    AUTH_REQUIRED = "auth_required"
    AUTH_FAILED = "auth_failed"
    AUTH_UNAVAILABLE = "auth_unavailable"
    TLS_REQUIRED = "tls_required"
    TLS_UNAVAILABLE = "tls_unavailable"
    TLS_FAILED = "tls_failed"
    CERTIFICATE_REFUSED = "certificate_refused"
    SERVER_CLOSING = "server_closing"
    SERVER_BUSY = "server_busy"
    SERVER_FULL = "server_full"
    SERVICE_REFUSED = "service_refused"
    RELAY_UNREACHABLE = "relay_unreachable"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    PROTOCOL_ERROR = "protocol_error"
    TRY_LATER = "try_later"
    REFUSED = "refused"


# RFC 3463 subject.detail → reason, whatever the class; the IANA registry's later additions included.
REASON_BY_DETAIL: dict[str, Reason] = {
    "1.0": Reason.BAD_ADDRESS,
    "1.1": Reason.NO_SUCH_ADDRESS,
    "1.2": Reason.NO_SUCH_DOMAIN,
    "1.3": Reason.BAD_ADDRESS,
    "1.4": Reason.BAD_ADDRESS,
    "1.6": Reason.MAILBOX_MOVED,
    "1.7": Reason.SENDER_REFUSED,
    "1.8": Reason.SENDER_REFUSED,
    "1.9": Reason.REFUSED,
    "1.10": Reason.NO_SUCH_DOMAIN,
    "2.0": Reason.MAILBOX_DISABLED,
    "2.1": Reason.MAILBOX_DISABLED,
    "2.2": Reason.MAILBOX_FULL,
    "2.3": Reason.TOO_BIG,
    "2.4": Reason.NOT_DELIVERABLE,
    "3.1": Reason.SERVER_FULL,
    "3.2": Reason.SERVER_CLOSING,
    "3.3": Reason.PROTOCOL_ERROR,
    "3.4": Reason.TOO_BIG,
    "3.5": Reason.SERVER_BUSY,
    "4.1": Reason.NOT_DELIVERABLE,
    "4.2": Reason.NOT_DELIVERABLE,
    "4.3": Reason.NOT_DELIVERABLE,
    "4.4": Reason.NOT_DELIVERABLE,
    "4.5": Reason.SERVER_BUSY,
    "4.6": Reason.NOT_DELIVERABLE,
    "4.7": Reason.NOT_DELIVERABLE,
    "5.1": Reason.PROTOCOL_ERROR,
    "5.2": Reason.PROTOCOL_ERROR,
    "5.3": Reason.TOO_MANY_RECIPIENTS,
    "5.4": Reason.PROTOCOL_ERROR,
    "7.0": Reason.BLOCKED,
    "7.1": Reason.BLOCKED,
    "7.8": Reason.AUTH_FAILED,
    "7.9": Reason.AUTH_UNAVAILABLE,
    "7.10": Reason.TLS_REQUIRED,
    "7.11": Reason.TLS_REQUIRED,
    "7.20": Reason.NOT_AUTHENTICATED,
    "7.21": Reason.NOT_AUTHENTICATED,
    "7.22": Reason.NOT_AUTHENTICATED,
    "7.23": Reason.NOT_AUTHENTICATED,
    "7.24": Reason.NOT_AUTHENTICATED,
    "7.25": Reason.NOT_AUTHENTICATED,
    "7.26": Reason.NOT_AUTHENTICATED,
    "7.27": Reason.NOT_AUTHENTICATED,
    "7.28": Reason.THROTTLED,
    "7.29": Reason.TLS_REQUIRED,
    "7.30": Reason.NOT_AUTHENTICATED,
    "7.31": Reason.NOT_AUTHENTICATED,
    "7.32": Reason.NOT_AUTHENTICATED,
    "7.40": Reason.NOT_AUTHENTICATED,
    "7.509": Reason.NOT_AUTHENTICATED,
    "7.515": Reason.NOT_AUTHENTICATED,
}
REASON_BY_SUBJECT: dict[str, Reason] = {
    "1": Reason.BAD_ADDRESS,
    "3": Reason.SERVER_BUSY,
    "4": Reason.NOT_DELIVERABLE,
    "5": Reason.PROTOCOL_ERROR,
    "6": Reason.CONTENT_REFUSED,
    "7": Reason.BLOCKED,
}
# Details that say less than the server's own words often do; with these, known wordings are looked for first.
GENERAL_DETAILS = frozenset({"0.0", "1.0", "2.0", "4.0", "5.0", "7.0", "7.1"})

# Codes whose meaning RFC 4954 fixes, whatever a general enhanced code adds.
LOGIN_CODES = frozenset({530, 534, 535, 538})
REASON_BY_CODE: dict[int, Reason] = {
    421: Reason.SERVER_CLOSING,
    450: Reason.TRY_LATER,
    451: Reason.SERVER_BUSY,
    452: Reason.SERVER_FULL,
    454: Reason.AUTH_UNAVAILABLE,
    455: Reason.TRY_LATER,
    500: Reason.PROTOCOL_ERROR,
    501: Reason.BAD_ADDRESS,
    502: Reason.PROTOCOL_ERROR,
    503: Reason.PROTOCOL_ERROR,
    504: Reason.PROTOCOL_ERROR,
    521: Reason.NO_SUCH_DOMAIN,
    530: Reason.AUTH_REQUIRED,
    534: Reason.AUTH_UNAVAILABLE,
    535: Reason.AUTH_FAILED,
    538: Reason.TLS_REQUIRED,
    550: Reason.REFUSED,
    551: Reason.MAILBOX_MOVED,
    552: Reason.TOO_BIG,
    553: Reason.BAD_ADDRESS,
    554: Reason.REFUSED,
    555: Reason.PROTOCOL_ERROR,
    556: Reason.NO_SUCH_DOMAIN,
}

# In this order: what servers say about us comes first, so that a bad set-up is never booked on the recipients.
REASON_BY_WORDS: tuple[tuple[Reason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        (Reason.SENDER_REFUSED, r"sender (address )?(rejected|verif|not allowed)|not owned by user|sender domain"),
        (
            Reason.RELAY_DENIED,
            r"relay(ing)? (access )?(is )?(denied|not permitted|prohibited)|(cannot|not|unable to) relay",
        ),
        (
            Reason.CLIENT_REFUSED,
            r"client host (rejected|blocked)|helo command rejected|cannot find your (reverse )?hostname",
        ),
        (Reason.AUTH_REQUIRED, r"authentication (is )?required|must (authenticate|log ?in)"),
        (Reason.TLS_REQUIRED, r"must issue a starttls|tls (is )?required|encryption required"),
        (Reason.GREYLISTED, r"gr[ea]y-?list"),
        (Reason.NOT_AUTHENTICATED, r"\b(dmarc|dkim|spf)\b.*\b(fail|reject|denied|policy|pass)|unauthenticated"),
        (
            Reason.THROTTLED,
            r"rate.?limit|throttl|too (many|fast|frequent)|quota for (today|messages)|limit exceeded|exceeded .*rate",
        ),
        (Reason.MAILBOX_FULL, r"(mailbox|mail ?box|inbox|account) (is )?(over|full|exceed)|편지함|용량"),
        (Reason.MAILBOX_FULL, r"(over|exceeded|exceeds) .*quota|quota exceeded"),
        (
            Reason.NO_SUCH_ADDRESS,
            r"(user|recipient|mailbox|account|address)s? (is |was )?(unknown|not found|invalid|does(n't| not) exist)",
        ),
        (
            Reason.NO_SUCH_ADDRESS,
            r"(unknown|invalid|no such|bad) (local )?(user|recipient|mailbox|account|address|person)|존재하지 않",
        ),
        (Reason.NO_SUCH_ADDRESS, r"no mailbox (here )?by that name|not a valid (user|mailbox|recipient)"),
        (
            Reason.MAILBOX_DISABLED,
            r"(account|mailbox|user|recipient).{0,20}(disabled|inactive|suspended|deactivated|deleted)|휴면|탈퇴",
        ),
        (Reason.NO_SUCH_DOMAIN, r"(domain|host) (name )?(not found|unknown|does(n't| not) exist)|unknown domain"),
        (Reason.TOO_BIG, r"(message|size).{0,20}(too (big|large)|exceeds)"),
        (Reason.CONTENT_REFUSED, r"\bspam\b|\bvirus\b|malware|content (rejected|refused|blocked)|message content"),
        (
            Reason.BLOCKED,
            r"block(ed|list)|black.?list|reputation|spamhaus|\brbl\b|\bdnsbl\b|policy|not allowed|access denied|차단",
        ),
    )
)

ABOUT_THE_SENDER = frozenset(
    {
        Reason.SENDER_REFUSED,
        Reason.RELAY_DENIED,
        Reason.CLIENT_REFUSED,
        Reason.AUTH_REQUIRED,
        Reason.AUTH_FAILED,
        Reason.AUTH_UNAVAILABLE,
        Reason.TLS_REQUIRED,
        Reason.NOT_AUTHENTICATED,
    }
)
ABOUT_THE_RECIPIENT = frozenset(
    {
        Reason.NO_SUCH_ADDRESS,
        Reason.NO_SUCH_DOMAIN,
        Reason.BAD_ADDRESS,
        Reason.MAILBOX_DISABLED,
        Reason.MAILBOX_MOVED,
        Reason.MAILBOX_FULL,
        Reason.GREYLISTED,
        Reason.NOT_DELIVERABLE,
    }
)
# 5.1.0 is left out on purpose: servers send it for anything. `5.2.1` is in; a caller may want two of those first.
SUPPRESSING_DETAILS = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
SUPPRESSING_WORDS = frozenset({Reason.NO_SUCH_ADDRESS})
