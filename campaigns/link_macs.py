"""What makes a link in a mail impossible to forge, at the cost of a few microseconds: a keyed hash of what it names.

Each purpose has a key of its own. The bytes are part of links that were sent, and never change.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from campaigns.config import current_settings

if TYPE_CHECKING:
    from hashlib import _Hash

MAC_BYTES: Final = 16
BLOCK_BYTES: Final = 64  # of SHA-256


def link_mac(purpose: str, secret_key: str, payload: bytes) -> bytes:
    """Return the hash of a payload, MAC_BYTES long, for one purpose."""
    inner, outer = _keyed(purpose, secret_key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(payload)
    outer.update(inner.digest())
    return outer.digest()[:MAC_BYTES]


def is_our_mac(purpose: str, mac: bytes, payload: bytes) -> bool:
    """Tell whether this site made it, with SECRET_KEY or one of SECRET_KEY_FALLBACKS."""
    settings = current_settings()
    keys = (settings.secret_key, *settings.secret_key_fallbacks)
    # Every key is tried, so that the time taken does not tell which one came close.
    matches = [hmac.compare_digest(mac, link_mac(purpose, key, payload)) for key in keys]
    return any(matches)


@lru_cache(maxsize=16)
def _keyed(purpose: str, secret_key: str) -> tuple[_Hash, _Hash]:
    """The two halves of HMAC-SHA256 (RFC 2104 §2) with the key in them: copying a whole HMAC takes twice as long."""
    key = sha256(f"carillon.{purpose}:{secret_key}".encode()).digest().ljust(BLOCK_BYTES, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))
