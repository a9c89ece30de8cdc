"""Who an address belongs to: one spelling to store and one key to find it by."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.mail.addresses import AddressError, wire_address


@dataclass(frozen=True)
class Address:
    """An address as it is stored (`email`) and the key that says whose it is (`key`, in lower case)."""

    email: str
    key: str


def parse_address(text: str) -> Address:
    """Return the address in `text`, trimmed. Raises AddressError for what cannot receive mail from the internet.

    The local part keeps its capitals, which its server may tell apart; the key does not, so that one person is one row.
    """
    wire = wire_address(text.strip())
    if "." not in wire.domain:
        raise AddressError("domain")
    return Address(str(wire), str(wire).lower())
