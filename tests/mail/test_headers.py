"""Header lines: what goes in comes out, in lines any mail program accepts, and nothing else gets in."""

from __future__ import annotations

import re
import unicodedata
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.mail.headers import (
    HeaderError,
    Mailbox,
    address_header,
    clean_header_text,
    custom_header,
    encode_words,
    extra_header,
    looks_like_address,
    text_header,
    token_header,
)

ENCODED_WORD = re.compile(r"=\?utf-8\?[BQ]\?[^? ]*\?=")
HANGUL = "가나다라마바사아자차카타파하각힣뷁광고안내공지사항"
EMOJI = "🎉👩‍👩‍👧‍👦🇰🇷👍🏽❤️é"
TRICKY = "\"\\'()<>@,;:.=?_[] -\t"
texts = st.text(
    alphabet=st.one_of(st.sampled_from(HANGUL + EMOJI + TRICKY + "abcXYZ019 "), st.characters()), max_size=200
)
printable = texts.map(lambda text: clean_header_text(text.replace("\r", "").replace("\n", "").replace("\0", "")))
names = st.sampled_from(["Subject", "X-A", "X-" + "Long-Name" * 6])


def parse(header: bytes, *, modern: bool = True):
    return message_from_bytes(header + b"\r\nbody\r\n", policy=policy.default if modern else policy.compat32)


def check_lines(header: bytes) -> None:
    assert header.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", header)
    for line in header[:-2].decode("ascii").split("\r\n"):
        assert line.strip(), "a line of nothing but space"
        words = re.findall(r"=\?.*?\?[BQ]\?.*?\?=", line)
        assert len(line) <= (76 if words else 78)
        for word in words:
            assert len(word) <= 75
            assert ENCODED_WORD.fullmatch(word)
            assert not word.endswith("??="), "an empty encoded word"


@settings(max_examples=500, deadline=None)
@given(name=names, text=printable)
@example(name="Subject", text="(광고) 안내" * 20)
@example(name="Subject", text="=?utf-8?B?aGk=?=")
@example(name="Subject", text="a  b" * 40)
@example(name="Subject", text=" lead and trail ")
@example(name="Subject", text="x" * 200)
def test_a_text_header_decodes_to_what_went_in(name: str, text: str) -> None:
    header = text_header(name, text)
    check_lines(header)
    old = parse(header, modern=False)[name]
    assert str(make_header(decode_header(old.replace("\r\n", "")))) == text
    assert len(parse(header).keys()) == 1


@settings(max_examples=300, deadline=None)
@given(text=printable)
def test_each_encoded_word_decodes_alone_so_no_character_is_split(text: str) -> None:
    for word in filter(None, encode_words(text, first_room=40) if text else []):
        data, charset = decode_header(word)[0]
        assert data.decode(charset)


@settings(max_examples=500, deadline=None)
@given(name=printable)
@example(name='"quoted" \\ name')
@example(name="김.철수, 대표 <ceo@example.com>")
@example(name="A" * 100)
@example(name="Kim, Chul-soo (sales)")
def test_a_display_name_decodes_to_what_went_in_and_the_address_stays(name: str) -> None:
    header = address_header("To", Mailbox("kim@example.com", name))
    check_lines(header)
    # The parser before 3.13 leaves the space between two encoded words of a name in, against RFC 2047 §6.2; the older
    # functions do not.
    phrase, address = parseaddr(parse(header, modern=False)["To"].replace("\r\n", ""))
    assert address == "kim@example.com"
    assert str(make_header(decode_header(phrase))) == name.strip()
    (mailbox,) = parse(header)["To"].addresses
    assert mailbox.addr_spec == "kim@example.com"


def test_plain_words_are_left_plain_and_long_ones_fold_at_spaces() -> None:
    assert text_header("Subject", "Hello there") == b"Subject: Hello there\r\n"
    folded = text_header("Subject", "word " * 30 + "end")
    assert b"=?" not in folded
    assert folded.replace(b"\r\n", b"").decode() == "Subject: " + "word " * 30 + "end"


def test_an_advertisement_mark_is_the_start_of_the_decoded_subject() -> None:
    assert str(parse(text_header("Subject", "(광고) 가을 할인"))["Subject"]).startswith("(광고)")


def test_hangul_typed_in_pieces_is_composed() -> None:
    pieces = unicodedata.normalize("NFD", "한글")
    assert str(parse(text_header("Subject", pieces))["Subject"]) == "한글"


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "write",
    [
        lambda value: text_header("Subject", value),
        lambda value: token_header("X-Id", value),
        lambda value: extra_header("X-Id", value),
        lambda value: custom_header("X-Id", value),
        lambda value: address_header("To", Mailbox("a@example.com", value)),
    ],
)
def test_a_line_break_in_a_value_is_refused(write, value: str) -> None:
    with pytest.raises(HeaderError) as caught:
        write(value)
    assert caught.value.reason == "line_break"


@pytest.mark.parametrize("name", ["X-Id:", "X Id", "", "X-한글", "X\r\nBcc", "X" * 65, "X_Y"])
def test_a_header_name_outside_the_grammar_is_refused(name: str) -> None:
    with pytest.raises(HeaderError, match="bad_name"):
        custom_header(name, "value")


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "BCC",
        "received",
        "Resent-To",
        "DKIM-Signature",
        "Return-Path",
        "Content-Type",
        "List-Unsubscribe",
        "Date",
    ],
)
def test_a_name_the_product_or_a_server_writes_is_refused_as_custom(name: str) -> None:
    with pytest.raises(HeaderError, match="reserved_name"):
        custom_header(name, "value")


def test_custom_values_are_encoded_when_they_need_it_and_untouched_when_not() -> None:
    assert custom_header("X-Campaign", "a-1_b=2") == b"X-Campaign: a-1_b=2\r\n"
    assert str(parse(custom_header("X-Team", "마케팅"))["X-Team"]) == "마케팅"


def test_machine_read_values_are_never_encoded_and_fold_between_uris() -> None:
    url = "<https://news.example.com/u/" + "t" * 120 + ">"
    header = token_header("List-Unsubscribe", f"{url}, <mailto:leave@example.com>")
    assert header == f"List-Unsubscribe: {url},\r\n <mailto:leave@example.com>\r\n".encode()


@pytest.mark.parametrize(
    ("value", "reason"), [("한글", "not_printable_ascii"), ("a" * 999, "too_long"), (" a", "not_printable_ascii")]
)
def test_a_machine_read_value_that_cannot_be_written_is_refused(value: str, reason: str) -> None:
    with pytest.raises(HeaderError, match=reason):
        token_header("Message-ID", value)


def test_international_domains_are_written_as_a_labels_in_headers() -> None:
    assert address_header("To", Mailbox("kim@faß.de")) == b"To: kim@xn--fa-hia.de\r\n"
    assert address_header("To", Mailbox("kim@한글.test", "Kim")) == b"To: Kim <kim@xn--bj0bj06e.test>\r\n"


def test_an_international_local_part_is_written_as_utf8() -> None:
    assert address_header("To", Mailbox("한글@example.com")) == "To: 한글@example.com\r\n".encode()


def test_a_long_address_goes_to_a_line_of_its_own() -> None:
    header = address_header("To", Mailbox("a" * 40 + "@" + "b" * 20 + ".example.com", "Some Name Of A Person"))
    assert header.count(b"\r\n") == 2
    check_lines(header)


def test_a_display_name_that_looks_like_an_address_is_recognised() -> None:
    assert looks_like_address("billing@example.com")
    assert not looks_like_address("Shop @ Seoul")
