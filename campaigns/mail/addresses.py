"""Addresses that are safe to put on the wire, in the one form that goes there."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import idna

MAX_LOCAL_PART = 64
MAX_DOMAIN = 253
MAX_ADDRESS = 254

_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ASCII_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_ASCII_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SPECIALS = frozenset('()<>[]:;@\\,"')


class AddressError(ValueError):
    """An address that cannot go into an envelope: `reason` is a stable code (syntax, local_part_too_long, …)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WireAddress(NamedTuple):
    """An address in the form that goes on the wire: domain in A-labels (RFC 5891), local part untouched.

    `needs_smtputf8` says that the local part has characters that only SMTPUTF8 (RFC 6531) can carry.
    """

    local: str
    domain: str
    needs_smtputf8: bool

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


# A mail's header and its envelope ask one after the other.
@lru_cache(maxsize=512)
def wire_address(address: str) -> WireAddress:
    """The address in its wire form. Raises AddressError.

    Refuses what could break out of a command (CR, LF, NUL, space, angle brackets), quoted local parts and address
    literals, and anything longer than RFC 5321 §4.5.3.1 allows. The domain is lower-cased, the local part is not.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise AddressError("syntax")
    if _ASCII_LOCAL.fullmatch(local):
        needs_smtputf8 = False
    else:
        local, needs_smtputf8 = _international_local(local), True
    domain = ascii_domain(domain)
    octets = len(local.encode()) if needs_smtputf8 else len(local)
    if octets > MAX_LOCAL_PART:
        raise AddressError("local_part_too_long")
    if octets + 1 + len(domain) > MAX_ADDRESS:
        raise AddressError("address_too_long")
    return WireAddress(local, domain, needs_smtputf8)


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """The domain in lower-case A-labels by IDNA 2008 (`faß.de` → `xn--fa-hia.de`). Raises AddressError."""
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError("domain") from error
    if len(domain) > MAX_DOMAIN:
        raise AddressError("domain_too_long")
    if not _ASCII_DOMAIN.fullmatch(domain):
        raise AddressError("domain")
    return domain.lower()


def _international_local(local: str) -> str:
    local = unicodedata.normalize("NFC", local)
    if local.isascii() or local[0] == "." or local[-1] == "." or ".." in local:
        raise AddressError("syntax")
    if any(character in _SPECIALS or unicodedata.category(character)[0] in "CZ" for character in local):
        raise AddressError("syntax")
    return local
