"""Addresses by the million: the common ones by one strict pattern, all others through email-validator.

A test holds that the pattern takes nothing that email-validator refuses, and spells what it takes the same way.
"""

from __future__ import annotations

import re
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from campaigns.accounts.addresses import Address, parse_address
from campaigns.audience.import_problems import RowProblem
from campaigns.mail.addresses import MAX_ADDRESS, AddressError

# A part of what RFC 5321 allows. The top level is letters alone, and no label has two hyphens in a row, so that
# A-labels and addresses of machines go the long way.
_ATOM = r"[A-Za-z0-9_+-]+"
_LABEL = r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_COMMON: Final = re.compile(
    rf"(?P<local>(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*)@(?P<domain>(?:(?={_LABEL}\.)[A-Za-z0-9-]{{1,63}}\.)+"
    r"(?P<top>[A-Za-z]{2,63}))"
)
_COMMON_MOST: Final = 200  # far below the limits of a whole address, which then need no check
_RESERVED_TOPS: Final = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
_WIDE: Final = re.compile("[\uff01-\uff5e\u3000]")
_ADDRESS_SHAPE: Final = re.compile(r"\s*[^\s@,;|]+@[^\s@,;|]+\.[^\s@,;|]+\s*")
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))


class AddressRefused(ValueError):
    """A cell is no address that mail can be sent to; `problem` says why."""

    def __init__(self, problem: RowProblem) -> None:
        super().__init__(problem)
        self.problem = problem


def read_address(cell: str) -> Address:
    """Return the address in a cell, as `parse_address` spells it. Raises AddressRefused."""
    found = _COMMON.fullmatch(cell)
    if found and len(cell) <= _COMMON_MOST and found["top"].lower() not in _RESERVED_TOPS:
        return Address(f"{found['local']}@{found['domain'].lower()}", cell.lower())
    return _read_any_address(cell.translate(_INVISIBLE).strip())


def looks_like_address(cell: str) -> bool:
    """Tell whether a cell was meant to be an address, right or not: for finding the column."""
    return _ADDRESS_SHAPE.fullmatch(cell) is not None


def _read_any_address(text: str) -> Address:
    if not text:
        raise AddressRefused(RowProblem.NO_ADDRESS)
    if _WIDE.search(text):
        raise AddressRefused(RowProblem.ADDRESS_WIDE)
    if text.count("@") != 1:
        raise AddressRefused(RowProblem.ADDRESS_AT)
    if len(text) > MAX_ADDRESS:
        raise AddressRefused(RowProblem.ADDRESS_LONG)
    try:
        # Names under .test are for tests, and this is how they are let in.
        validate_email(text, check_deliverability=False, test_environment=True)
        return parse_address(text)
    except (EmailNotValidError, AddressError) as error:
        raise AddressRefused(_reason(text, error)) from error


def _reason(text: str, error: ValueError) -> RowProblem:
    """email-validator explains in English only, so that what it says is sorted into a few reasons of our own."""
    local, _, domain = text.partition("@")
    words = str(error)
    if "too long" in words or (isinstance(error, AddressError) and error.reason.endswith("too_long")):
        return RowProblem.ADDRESS_LONG
    if local and (not domain or "after the @" in words or isinstance(error, AddressError)):
        return RowProblem.ADDRESS_DOMAIN
    return RowProblem.ADDRESS
