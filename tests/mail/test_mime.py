"""Whole messages, and the pieces a campaign is compiled from."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.mail.headers import HeaderError, Mailbox
from campaigns.mail.mime import (
    TransferEncoding,
    boundary_for,
    build_message,
    choose_encoding,
    clean_text,
    encode_body,
    fold_base64,
    message_id,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
STRICT = policy.default.clone(raise_on_defect=True)


def build(**changes) -> bytes:
    values = {
        "sender": Mailbox("news@example.com", "소식"),
        "recipient": Mailbox("kim@example.org", "김 철수"),
        "subject": "(광고) 가을 할인",
        "text": "안녕하세요\n.\n..\n.hidden\n끝",
        "html": "<p>안녕하세요</p>",
        "message_id": "<abc@example.com>",
        "date": NOW,
    }
    return build_message(**(values | changes))


def check_wire(message: bytes) -> None:
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", message)
    assert message.endswith(b"\r\n")
    assert max(map(len, message.split(b"\r\n"))) <= 998
    message.decode("ascii")


def test_a_mail_has_each_required_header_exactly_once() -> None:
    message = message_from_bytes(build(), policy=STRICT)
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"):
        assert len(message.get_all(name)) == 1, name
    assert len(message["From"].addresses) == 1
    assert message["Subject"] == "(광고) 가을 할인"
    assert message["Message-ID"] == "<abc@example.com>"
    assert parsedate_to_datetime(message["Date"]) == NOW
    assert b"Date: Sun, 22 Nov 2026 09:30:00 +0000\r\n" in build()


def test_a_mail_with_html_is_an_alternative_of_text_then_html() -> None:
    message = message_from_bytes(build(), policy=STRICT)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in message.iter_parts()] == ["utf-8", "utf-8"]
    assert message.get_body(("html",)).get_content() == "<p>안녕하세요</p>\r\n"
    check_wire(build())


def test_a_mail_without_html_is_plain_text() -> None:
    message = message_from_bytes(build(html=None, text="hello"), policy=STRICT)
    assert message.get_content_type() == "text/plain"
    assert message["Content-Transfer-Encoding"] == "7bit"
    assert message.get_content() == "hello\r\n"


def test_the_same_mail_is_the_same_bytes_and_another_id_another_boundary() -> None:
    assert build() == build()
    one, other = (message_from_bytes(build(message_id=f"<{i}@example.com>")).get_boundary() for i in "ab")
    assert one != other


def test_added_headers_are_written_and_cannot_double_a_required_one() -> None:
    added = [("List-Unsubscribe", "<https://example.com/u/1>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]
    message = message_from_bytes(build(headers=added, reply_to=Mailbox("help@example.com")), policy=STRICT)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Reply-To"] == "help@example.com"
    for name in ("from", "Content-Type", "MIME-Version", "Bcc"):
        with pytest.raises(HeaderError, match="duplicate"):
            build(headers=[(name, "x")])


@settings(max_examples=200, deadline=None)
@given(
    subject=st.text(max_size=80),
    sender=st.text(max_size=40),
    recipient=st.text(max_size=40),
    custom=st.text(max_size=80),
)
def test_no_field_can_add_a_header(subject: str, sender: str, recipient: str, custom: str) -> None:
    try:
        raw = build(
            subject=subject,
            sender=Mailbox("a@example.com", sender),
            recipient=Mailbox("b@example.org", recipient),
            headers=[("X-Custom", custom)],
        )
    except HeaderError:
        assert set(subject + sender + recipient + custom) & set("\r\n\0") or len(custom) > 900
        return
    names = [name.lower() for name in message_from_bytes(raw)]
    assert names == ["from", "to", "subject", "date", "message-id", "x-custom", "mime-version", "content-type"]
    check_wire(raw)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.one_of(st.sampled_from("가나 \n.=abc🎉\r"), st.characters()), max_size=400))
def test_every_body_text_comes_back_in_every_encoding_that_can_carry_it(text: str) -> None:
    message = message_from_bytes(build(text=text), policy=STRICT)
    expected = clean_text(text)
    received = message.get_body(("plain",)).get_payload(decode=True).decode().replace("\r\n", "\n")
    assert received == (expected if expected.endswith("\n") else expected + "\n")
    check_wire(build(text=text))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain words\n", TransferEncoding.SEVEN_BIT),
        ("x" * 998, TransferEncoding.SEVEN_BIT),
        ("short\n" + "x" * 999, TransferEncoding.QUOTED_PRINTABLE),
        ("Caf\u00e9 in a longer English sentence", TransferEncoding.QUOTED_PRINTABLE),
        ("안녕하세요", TransferEncoding.BASE64),
        ("", TransferEncoding.SEVEN_BIT),
    ],
)
def test_the_encoding_suits_the_text(text: str, encoding: TransferEncoding) -> None:
    assert choose_encoding(text) is encoding
    body = encode_body(text, encoding)
    limit = 998 if encoding is TransferEncoding.SEVEN_BIT else 76
    assert max(map(len, body.split(b"\r\n"))) <= limit
    assert body.endswith(b"\r\n")


def test_text_is_composed_and_loses_what_mail_programs_stumble_over() -> None:
    assert clean_text(unicodedata.normalize("NFD", "한글")) == "한글"
    assert clean_text("a\r\nb\rc\u2028d\x00\x07\ufeff\ud800e\tf") == "a\nb\nc\nde\tf"
    family = "👩‍👩‍👧"
    assert clean_text(family) == family


def test_base64_is_folded_at_76_columns() -> None:
    lines = fold_base64(bytes(200)).split(b"\r\n")
    assert [len(line) for line in lines] == [76, 76, 76, 40, 0]
    assert fold_base64(b"") == b""


def test_a_boundary_never_occurs_in_a_part() -> None:
    taken = boundary_for("seed")
    assert boundary_for("seed", [b"x" + taken + b"y"]) != taken
    raw = build(text=f"--{boundary_for('<abc@example.com>').decode()}--")
    assert len(list(message_from_bytes(raw, policy=STRICT).iter_parts())) == 2


def test_a_message_id_is_the_same_for_the_same_delivery_and_different_for_any_other() -> None:
    key = b"k" * 32
    first = message_id(key, 1, 23, domain="news.example.com")
    assert re.fullmatch(r"<[0-9a-f]{40}@news\.example\.com>", first)
    assert first == message_id(key, 1, 23, domain="news.example.com")
    assert first != message_id(key, 12, 3, domain="news.example.com")
    assert first != message_id(b"l" * 32, 1, 23, domain="news.example.com")
    assert len({message_id(key, 7, number, domain="example.com") for number in range(20_000)}) == 20_000


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        build(date=NOW.replace(tzinfo=None))
