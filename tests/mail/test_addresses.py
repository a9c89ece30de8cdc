"""Envelope addresses: what may be written into a command, and in which form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.mail.addresses import AddressError, wire_address


@pytest.mark.parametrize(
    ("address", "wire", "needs_smtputf8"),
    [
        ("kim@example.com", "kim@example.com", False),
        ("Kim.Chul+news@Example.COM", "Kim.Chul+news@example.com", False),
        ("kim@faß.de", "kim@xn--fa-hia.de", False),
        ("kim@한글.test", "kim@xn--bj0bj06e.test", False),
        ("한글@example.com", "한글@example.com", True),
        ("root@localhost", "root@localhost", False),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com", False),
    ],
)
def test_an_address_gets_its_wire_form(address: str, wire: str, needs_smtputf8: bool) -> None:
    result = wire_address(address)
    assert (str(result), result.needs_smtputf8) == (wire, needs_smtputf8)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("a@example.com\r\nRCPT TO:<b@example.com>", "syntax"),
        ("a@example.com\r\nRSET", "domain"),
        ("a\r\n@example.com", "syntax"),
        ("a\0@example.com", "syntax"),
        ("a b@example.com", "syntax"),
        ("a@exam ple.com", "domain"),
        ("<a@example.com>", "syntax"),
        ("a>@example.com", "syntax"),
        ("한 글@example.com", "syntax"),
        ("한\u2028글@example.com", "syntax"),
        ("한<글@example.com", "syntax"),
        ("\ud800@example.com", "syntax"),
        ("a@\ud800.com", "domain"),
        ('"a b"@example.com', "syntax"),
        ("a@[127.0.0.1]", "domain"),
        (".a@example.com", "syntax"),
        ("a..b@example.com", "syntax"),
        ("a@example..com", "domain"),
        ("a@example.com.", "domain"),
        ("a@-example.com", "domain"),
        ("@example.com", "syntax"),
        ("a@", "syntax"),
        ("plain", "syntax"),
        ("", "syntax"),
        ("a" * 65 + "@example.com", "local_part_too_long"),
        ("한" * 22 + "@example.com", "local_part_too_long"),
        ("a@" + ".".join(["b" * 60] * 5), "domain_too_long"),
        ("a" * 60 + "@" + ".".join(["b" * 60] * 4), "address_too_long"),
        ("a@" + "b" * 64 + ".com", "domain"),
    ],
)
def test_an_address_that_cannot_be_written_is_refused(address: str, reason: str) -> None:
    with pytest.raises(AddressError) as caught:
        wire_address(address)
    assert caught.value.reason == reason


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_is_safe_inside_a_command(local: str, domain: str) -> None:
    try:
        wire = wire_address(f"{local}@{domain}")
    except AddressError:
        return
    assert not set(str(wire)) & set("\r\n\0 <>\t")
    assert wire.domain.isascii()
    assert wire.needs_smtputf8 or str(wire).isascii()
