"""Who may read the numbers: whoever knows the token, or without one whoever is on this machine."""

from __future__ import annotations

import hmac
from ipaddress import ip_address


def knows_token(authorization: str, token: str) -> bool:
    """Tell whether an Authorization header carries this token (RFC 6750 §2.1); the comparison takes constant time."""
    scheme, _, given = authorization.strip().partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def is_loopback(address: str) -> bool:
    """Tell whether a peer's address is this machine's own."""
    found = ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
