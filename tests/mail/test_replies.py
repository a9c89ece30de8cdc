"""What a mail server's answer means, row by row."""

from __future__ import annotations

import pytest

from campaigns.mail.replies import Judgement, Meaning, Phase, Reason, enhanced_code, judge

RT, RP = Meaning.RECIPIENT_TEMPORARY, Meaning.RECIPIENT_PERMANENT
ST, SR = Meaning.SENDER_TEMPORARY, Meaning.SENDER_REFUSED
CT, CR = Meaning.CONTENT_TEMPORARY, Meaning.CONTENT_REFUSED
XT, XR = Meaning.CONNECTION_TEMPORARY, Meaning.CONNECTION_REFUSED
SUPPRESSES = True

ROWS = [
    # Connection
    (Phase.GREETING, 554, "No SMTP service here", XR, Reason.SERVICE_REFUSED),
    (Phase.GREETING, 421, "4.3.2 too many connections", XT, Reason.SERVER_CLOSING),
    (Phase.GREETING, 450, "later", XT, Reason.SERVER_BUSY),
    (Phase.EHLO, 550, "go away", XR, Reason.SERVICE_REFUSED),
    (Phase.STARTTLS, 454, "4.7.0 TLS not available", XT, Reason.TLS_UNAVAILABLE),
    (Phase.AUTH, 535, "5.7.8 bad credentials", XR, Reason.AUTH_FAILED),
    (Phase.AUTH, 454, "4.7.0 temporary", XT, Reason.AUTH_UNAVAILABLE),
    # 421 closes the connection wherever it comes
    (Phase.MAIL, 421, "4.3.2 closing", XT, Reason.SERVER_CLOSING),
    (Phase.RCPT, 421, "closing", XT, Reason.SERVER_CLOSING),
    (Phase.RCPT, 421, "4.7.28 unusual rate of mail", XT, Reason.THROTTLED),
    (Phase.DATA, 421, "4.3.2 closing", XT, Reason.SERVER_CLOSING),
    (Phase.CONTENT, 421, "4.3.2 closing", XT, Reason.SERVER_CLOSING),
    # Sender
    (Phase.MAIL, 550, "5.7.1 not allowed", SR, Reason.BLOCKED),
    (Phase.MAIL, 553, "5.1.8 sender domain unknown", SR, Reason.SENDER_REFUSED),
    (Phase.MAIL, 553, "mailbox name not allowed", SR, Reason.BLOCKED),
    (Phase.MAIL, 553, "sorry", SR, Reason.SENDER_REFUSED),
    (Phase.MAIL, 550, "5.1.1 unknown", SR, Reason.SENDER_REFUSED),
    (Phase.MAIL, 552, "5.3.4 message size exceeds limit", SR, Reason.TOO_BIG),
    (Phase.MAIL, 530, "5.7.0 Authentication required", SR, Reason.AUTH_REQUIRED),
    (Phase.MAIL, 530, "5.7.0 hello", SR, Reason.AUTH_REQUIRED),
    (Phase.MAIL, 530, "5.7.0 Must issue a STARTTLS command first", SR, Reason.TLS_REQUIRED),
    (Phase.MAIL, 451, "4.3.0 error", ST, Reason.SERVER_BUSY),
    (Phase.MAIL, 452, "4.3.1 disk", ST, Reason.SERVER_FULL),
    # What servers say at RCPT about us
    (Phase.RCPT, 554, "5.7.1 <a@example.com>: Relay access denied", SR, Reason.RELAY_DENIED),
    (Phase.RCPT, 550, "relaying denied", SR, Reason.RELAY_DENIED),
    (Phase.RCPT, 550, "5.1.8 <x@y.test>: Sender address rejected: Domain not found", SR, Reason.SENDER_REFUSED),
    (Phase.RCPT, 450, "4.1.8 <x@y.test>: Sender address rejected: Domain not found", ST, Reason.SENDER_REFUSED),
    (Phase.RCPT, 554, "5.7.1 <unknown[192.0.2.1]>: Client host rejected", SR, Reason.CLIENT_REFUSED),
    (Phase.RCPT, 550, "5.7.26 unauthenticated sender", SR, Reason.NOT_AUTHENTICATED),
    (Phase.CONTENT, 550, "5.7.26 This mail is unauthenticated", SR, Reason.NOT_AUTHENTICATED),
    (Phase.CONTENT, 550, "5.7.515 Access denied, sending domain example.com", SR, Reason.NOT_AUTHENTICATED),
    # Recipient, for good
    (Phase.RCPT, 550, "5.1.1 User unknown", RP, Reason.NO_SUCH_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 550, "5.1.2 no such host", RP, Reason.NO_SUCH_DOMAIN, SUPPRESSES),
    (Phase.RCPT, 501, "5.1.3 bad address syntax", RP, Reason.BAD_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 551, "5.1.6 moved", RP, Reason.MAILBOX_MOVED, SUPPRESSES),
    (Phase.RCPT, 556, "5.1.10 null MX", RP, Reason.NO_SUCH_DOMAIN, SUPPRESSES),
    (Phase.RCPT, 550, "5.2.1 mailbox disabled", RP, Reason.MAILBOX_DISABLED, SUPPRESSES),
    (Phase.CONTENT, 550, "5.1.1 User unknown", RP, Reason.NO_SUCH_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 550, "No such user here", RP, Reason.NO_SUCH_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 550, "존재하지 않는 사용자입니다", RP, Reason.NO_SUCH_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 550, "5.1.0 Recipient not found", RP, Reason.NO_SUCH_ADDRESS, SUPPRESSES),
    (Phase.RCPT, 550, "5.1.0 refused", RP, Reason.BAD_ADDRESS),
    (Phase.RCPT, 550, "5.2.2 mailbox full", RP, Reason.MAILBOX_FULL),
    (Phase.RCPT, 550, "5.7.1 blocked by policy", RP, Reason.BLOCKED),
    (Phase.RCPT, 550, "5.7.1 user unknown", RP, Reason.NO_SUCH_ADDRESS),
    (Phase.RCPT, 554, "5.7.1 listed at spamhaus", RP, Reason.BLOCKED),
    (Phase.RCPT, 550, "", RP, Reason.REFUSED),
    (Phase.RCPT, 599, "what", RP, Reason.REFUSED),
    # Recipient, for now
    (Phase.RCPT, 452, "4.2.2 mailbox full", RT, Reason.MAILBOX_FULL),
    (Phase.RCPT, 450, "4.2.0 Greylisted, see postgrey", RT, Reason.GREYLISTED),
    (Phase.RCPT, 451, "Greylisting in action", RT, Reason.GREYLISTED),
    (Phase.RCPT, 452, "4.5.3 too many", RT, Reason.TOO_MANY_RECIPIENTS),
    (Phase.RCPT, 552, "too many recipients", RT, Reason.THROTTLED),
    (Phase.RCPT, 552, "", RT, Reason.TOO_MANY_RECIPIENTS),
    (Phase.RCPT, 552, "5.2.2 full", RT, Reason.MAILBOX_FULL),
    (Phase.RCPT, 450, "4.7.1 slow down", RT, Reason.THROTTLED),
    (Phase.RCPT, 450, "4.1.1 unverified", RT, Reason.NO_SUCH_ADDRESS),
    (Phase.RCPT, 450, "", RT, Reason.TRY_LATER),
    (Phase.RCPT, 499, "", RT, Reason.TRY_LATER),
    (Phase.RCPT, 451, "4.4.1 no answer from host", RT, Reason.NOT_DELIVERABLE),
    # Content
    (Phase.DATA, 554, "no", CR, Reason.CONTENT_REFUSED),
    (Phase.DATA, 451, "local error", CT, Reason.SERVER_BUSY),
    (Phase.CONTENT, 554, "5.6.0 bad MIME", CR, Reason.CONTENT_REFUSED),
    (Phase.CONTENT, 550, "5.7.1 looks like spam", CR, Reason.CONTENT_REFUSED),
    (Phase.CONTENT, 554, "", CR, Reason.CONTENT_REFUSED),
    (Phase.CONTENT, 552, "", CR, Reason.TOO_BIG),
    (Phase.CONTENT, 552, "5.3.4 too big", CR, Reason.TOO_BIG),
    (Phase.CONTENT, 451, "4.3.0 queue error", CT, Reason.SERVER_BUSY),
    (Phase.CONTENT, 452, "4.3.1 no space", CT, Reason.SERVER_FULL),
    (Phase.CONTENT, 450, "4.7.28 unusual rate", CT, Reason.THROTTLED),
    # A class that contradicts the digit is not believed
    (Phase.RCPT, 450, "5.1.1 strange", RT, Reason.TRY_LATER),
    (Phase.RCPT, 550, "4.2.2 strange", RP, Reason.REFUSED),
    # Not SMTP
    (Phase.MAIL, 354, "go ahead", XT, Reason.PROTOCOL_ERROR),
    (Phase.CONTENT, 100, "", XT, Reason.PROTOCOL_ERROR),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[2]}"[:60])
def test_an_answer_means_what_the_table_says(row) -> None:
    phase, code, text, meaning, reason, *suppresses = row
    assert judge(phase, code, enhanced_code(text), text) == Judgement(meaning, reason, bool(suppresses))


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.MAIL, 250), (Phase.RCPT, 251), (Phase.DATA, 354), (Phase.CONTENT, 250)]
)
def test_a_positive_answer_is_accepted(phase: Phase, code: int) -> None:
    assert judge(phase, code).meaning is Meaning.ACCEPTED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 User unknown", "5.1.1"),
        ("2.0.0", "2.0.0"),
        ("5.1.1", "5.1.1"),
        ("Hello 5.1.1", ""),
        ("3.1.1 x", ""),
        ("5.1", ""),
        ("1.2.3.4", ""),
    ],
)
def test_an_enhanced_code_is_found_only_at_the_start(text: str, code: str) -> None:
    assert enhanced_code(text) == code


@pytest.mark.parametrize("phase", list(Phase))
def test_no_address_is_suppressed_without_evidence_about_that_address(phase: Phase) -> None:
    for code in range(400, 600):
        assert not judge(phase, code, "", "").suppresses
        assert not judge(phase, code, f"{code // 100}.7.1", "User unknown").suppresses
        if phase in (Phase.MAIL, Phase.GREETING, Phase.AUTH):
            assert not judge(phase, code, f"{code // 100}.1.1", "User unknown").suppresses
