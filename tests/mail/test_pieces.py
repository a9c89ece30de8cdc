"""Parts that are encoded once: joined with anybody's values they decode to the text, in lines that nobody touches."""

from __future__ import annotations

import re
import unicodedata
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.compose.contexts import clean_text as clean_value
from campaigns.mail.mime import boundary_for, clean_text, message_id
from campaigns.mail.pieces import MessageIds, compile_part, encode_part, stands_alone
from campaigns.mail.quoted_printable import encode_quoted, quote_piece
from campaigns.mail.smtp_envelope import wire_content

STRICT = policy.default.clone(raise_on_defect=True)
ODD = "가나힣각김🎉👩‍👧é=.\"'<&> \t\n\r\u0301\u1161\u11a8\u2028_-FromABCxyz019"
texts = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters()), max_size=120)
lines = st.lists(
    st.sampled_from(["From me", ".", "..dots", "안녕하세요 " * 20, "x" * 200, "a b " * 40, " ", "=3D", ""])
)
constants = st.one_of(texts, lines.map("\n".join))
pieces = st.lists(st.one_of(constants, st.integers(min_value=0, max_value=3)), max_size=9)
four_values = st.lists(st.one_of(texts, constants), min_size=4, max_size=4).map(lambda raw: list(map(clean_value, raw)))


def decoded(part: bytes) -> str:
    message = message_from_bytes(b"MIME-Version: 1.0\r\n" + part, policy=STRICT)
    return message.get_payload(decode=True).decode()


def expected_text(whole: str) -> str:
    text = clean_text(whole)
    return (text if text.endswith("\n") else f"{text}\n").replace("\n", "\r\n")


def check_lines(part: bytes) -> None:
    assert part.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", part)
    head, _, body = part.partition(b"\r\n\r\n")
    assert b"Content-Transfer-Encoding: " in head
    for line in body.decode("ascii").split("\r\n"):
        assert len(line) <= 76
        assert not line.startswith((".", "From "))
        assert line == line.rstrip()
    if b": base64" in head:
        assert b"\r\n\r\n" not in body
    assert wire_content(part) == part + b".\r\n"


@settings(max_examples=1000, deadline=None)
@given(pieces=pieces, ending=constants, values=four_values)
@example(pieces=["안녕 ", 0, "님"], ending="끝" * 40, values=["김하늘"] * 4)
@example(pieces=[0, "\x1f"], ending="\x1f", values=["\n"] * 4)
@example(pieces=["cafe", 0], ending="", values=["\u0301"] * 4)
@example(pieces=[0, 0, 1, 2], ending="", values=["", "a", "bc", "def"])
@example(pieces=["긴 글입니다. " * 9, 0, "사이에 있는 글입니다. " * 9], ending="끝", values=[""] * 4)
@example(pieces=["Hello there, my friend ", 0, "\n.hidden\n"], ending="", values=["."] * 4)
def test_a_part_joined_with_values_decodes_to_the_whole_text(pieces, ending: str, values: list[str]) -> None:
    pieces = [*pieces, ending]
    whole = "".join(values[piece] if isinstance(piece, int) else piece for piece in pieces)
    part = compile_part("plain", pieces)
    if part is not None and all(map(stands_alone, values)):
        written = b"".join(part.write(values))
        assert written == b"".join(part.write(values))
        assert decoded(written) == expected_text(whole)
        check_lines(written)
    assert decoded(encode_part("plain", whole)) == expected_text(whole)
    check_lines(encode_part("plain", whole))


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from(["a", "ab", "abc"]), share=st.sampled_from(["가", "e"]), values=four_values)
def test_every_alignment_of_every_piece_is_right(head: str, share: str, values: list[str]) -> None:
    values = [value if stands_alone(value) else "" for value in values]
    constant = f"{share}" * 60
    pieces = [head, 0, constant, 1, constant + "b", 2, constant + "bc", 3, constant + "\n"]
    whole = "".join(values[piece] if isinstance(piece, int) else piece for piece in pieces)
    part = compile_part("html", pieces)
    assert part is not None
    written = b"".join(part.write(values))
    assert decoded(written) == expected_text(whole)
    assert (b"base64" in written) == (share == "가")
    check_lines(written)


@settings(max_examples=500, deadline=None)
@given(left=texts, right=texts)
def test_what_stands_alone_is_never_joined_to_what_is_before_it(left: str, right: str) -> None:
    left, right = clean_text(left), clean_text(right)
    if stands_alone(right):
        assert unicodedata.normalize("NFC", left + right) == left + right


def test_every_character_that_composes_with_the_one_before_does_not_stand_alone() -> None:
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    pairs = [unicodedata.decomposition(character).split() for character in everything]
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    vowels_and_finals = set(unicodedata.normalize("NFD", "".join(map(chr, range(0xAC00, 0xD7A4))))) - set(
        map(chr, range(0x1100, 0x1113))
    )
    moving = {character for character in everything if unicodedata.combining(character)}
    assert not [
        mark for mark in seconds | vowels_and_finals | moving if stands_alone(unicodedata.normalize("NFC", mark))
    ]
    assert all(map(stands_alone, ["", "김", "Kim", "🎉", "田", "ア", "é", "\n"]))


def test_a_part_is_refused_where_a_value_could_change_the_text_beside_it() -> None:
    assert compile_part("plain", ["Hello ", 0]) is None
    assert compile_part("plain", [0, "\u0301 accent\n"]) is None
    assert compile_part("plain", ["one\r", 0, "two\n"]) is None
    assert compile_part("plain", ["Hello ", 0, "\n"]) is not None
    assert compile_part("plain", []) is not None


def test_the_constant_text_decides_the_encoding() -> None:
    def encoding(pieces) -> str:
        part = compile_part("plain", pieces)
        assert part is not None
        found = re.search(rb"Encoding: (\S+)\r\n", b"".join(part.write(["값"])))
        assert found
        return found[1].decode()

    assert encoding(["안녕하세요 ", 0, "\n"]) == "base64"
    assert encoding(["Hello there ", 0, "\n"]) == "quoted-printable"
    assert encoding(['<p style="color: black">' * 9 + "안녕", 0, "</p>\n"]) == "quoted-printable"


@settings(max_examples=500, deadline=None)
@given(text=constants)
def test_quoted_lines_keep_characters_whole(text: str) -> None:
    for line in quote_piece(clean_text(text)).split(b"\r\n"):
        octets = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), line.removesuffix(b"="))
        octets.decode()


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain words", b"plain words"),
        ("1 = 1", b"1 =3D 1"),
        (".hidden\n.", b"=2Ehidden\r\n=2E"),
        ("From here\nFromage", b"=46rom here\r\nFromage"),
        ("end  \n\t\n", b"end =20\r\n=09\r\n"),
        ("가", b"=EA=B0=80"),
        ("", b""),
    ],
)
def test_quoted_text_is_as_plain_as_can_be(text: str, quoted: bytes) -> None:
    assert encode_quoted(text) == quoted


@settings(max_examples=200, deadline=None)
@given(values=four_values)
def test_no_encoded_part_contains_what_boundaries_start_with(values: list[str]) -> None:
    values = [f"{value}--{boundary_for('x').decode()}" for value in map(str.lstrip, values) if stands_alone(value)]
    for constant in ("한글 글자 " * 5, "Just some words " * 5):
        pieces = [constant, *range(len(values)), constant]
        part = compile_part("plain", pieces)
        assert part is not None
        assert b"=_" not in b"".join(part.write(values))


def test_message_ids_made_in_a_row_are_the_known_ones() -> None:
    make = MessageIds(b"k" * 32, "campaign", 7, domain="news.Example.com").make
    for position in (0, 1, 23, 10**9):
        assert make(position) == message_id(b"k" * 32, "campaign", 7, position, domain="news.example.com")
