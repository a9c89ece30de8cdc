"""The short way for common addresses takes nothing that email-validator refuses, and spells what it takes the same."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.accounts.addresses import parse_address
from campaigns.audience.import_addresses import AddressRefused, read_address
from campaigns.audience.import_problems import RowProblem

PIECES = st.text(alphabet="aZ9._+-@", min_size=1, max_size=12)
LOCALS = st.one_of(PIECES, st.from_regex(r"[A-Za-z0-9._+-]{1,70}", fullmatch=True))
DOMAINS = st.one_of(PIECES, st.from_regex(r"([A-Za-z0-9-]{1,66}\.){1,4}[A-Za-z]{2,10}", fullmatch=True))
TOPS = st.sampled_from(["com", "kr", "test", "local", "localhost", "invalid", "arpa", "onion", "example", "c", "1"])
ADDRESSES = st.one_of(
    st.builds("{}@{}".format, LOCALS, DOMAINS),
    st.builds("{}@{}.{}".format, LOCALS, PIECES, TOPS),
    st.text(max_size=30),
)


@given(ADDRESSES)
@example("a@b.com\n")
@example("a" * 64 + "@example.com")
@example("a" * 65 + "@example.com")
@example("a@" + "b" * 63 + ".com")
@example("a@" + "b" * 64 + ".com")
@example("a@xn--3e0b707e.kr")
@example("a@ab--cd.com")
@example("a-@example.com")
@example(".a@example.com")
@example("K@example.com")  # KELVIN SIGN, whose lower case is an ordinary k
def test_what_is_taken_is_right_and_spelt_as_everywhere(text: str):
    try:
        found = read_address(text)
    except AddressRefused:
        return
    stripped = text.strip("\u200b\u200c\u200d\u2060\ufeff\u00ad \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\u3000\u00a0")
    judged = validate_email(stripped, check_deliverability=False, test_environment=True)
    assert found == parse_address(stripped)
    assert found.email.lower() == found.key
    # It writes "www" and other addresses of machines in lower case.
    assert found.key == f"{judged.local_part}@{judged.ascii_domain}".lower()


@given(ADDRESSES)
def test_what_is_right_everywhere_is_taken(text: str):
    try:
        validate_email(text, check_deliverability=False, test_environment=True)
        expected = parse_address(text)
    except (EmailNotValidError, ValueError):
        return
    if not any("\uff01" <= character <= "\uff5e" for character in text):
        assert read_address(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", RowProblem.NO_ADDRESS),
        (" \u200b ", RowProblem.NO_ADDRESS),
        ("ａda@example.com", RowProblem.ADDRESS_WIDE),
        ("a@b@example.com", RowProblem.ADDRESS_AT),
        ("a@example.com\r\nBcc: b@example.com", RowProblem.ADDRESS_AT),
        ("a@example.com\r\nBcc:", RowProblem.ADDRESS_DOMAIN),
        ('"quoted"@example.com', RowProblem.ADDRESS),
        ("a@[192.0.2.1]", RowProblem.ADDRESS_DOMAIN),
        ("a@192.0.2.1", RowProblem.ADDRESS_DOMAIN),
        ("a@example", RowProblem.ADDRESS_DOMAIN),
        ("Ada <ada@example.com>", RowProblem.ADDRESS),
    ],
)
def test_what_cannot_receive_is_refused_with_its_reason(text: str, problem: RowProblem):
    with pytest.raises(AddressRefused) as refused:
        read_address(text)
    assert refused.value.problem == problem
