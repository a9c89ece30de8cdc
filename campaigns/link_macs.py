"""What makes a link in a mail impossible to forge, at the cost of a few microseconds: a keyed hash of what it names.

Each purpose has a key of its own. The bytes are part of links that were sent, and never change.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Final

from campaigns.config import current_settings

MAC_BYTES: Final = 16


def link_mac(purpose: str, secret_key: str, payload: bytes) -> bytes:
    """Return the hash of a payload, MAC_BYTES long, for one purpose."""
    mac = _keyed(purpose, secret_key).copy()
    mac.update(payload)
    return mac.digest()[:MAC_BYTES]


def is_our_mac(purpose: str, mac: bytes, payload: bytes) -> bool:
    """Tell whether this site made it, with SECRET_KEY or one of SECRET_KEY_FALLBACKS."""
    settings = current_settings()
    keys = (settings.secret_key, *settings.secret_key_fallbacks)
    # Every key is tried, so that the time taken does not tell which one came close.
    matches = [hmac.compare_digest(mac, link_mac(purpose, key, payload)) for key in keys]
    return any(matches)


@lru_cache(maxsize=16)
def _keyed(purpose: str, secret_key: str) -> hmac.HMAC:
    return hmac.new(sha256(f"carillon.{purpose}:{secret_key}".encode()).digest(), digestmod="sha256")
