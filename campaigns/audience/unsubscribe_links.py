"""Unsubscribe links: short, cheap to make for a million recipients, and impossible to make for anybody else."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256

from campaigns.config import current_settings

MAC_BYTES = 16


def unsubscribe_token(secret_key: str, user_id: int, campaign_id: int) -> str:
    """Return the token of one person's unsubscribe link in one campaign; it never expires (RFC 8058 §3.1)."""
    payload = user_id.to_bytes(6, "big") + campaign_id.to_bytes(4, "big")
    return urlsafe_b64encode(payload + _mac(secret_key, payload)).rstrip(b"=").decode()


def read_unsubscribe_token(token: str) -> tuple[int, int] | None:
    """Return (user id, campaign id), or None for a token that this site has not made."""
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    payload, mac = data[:10], data[10:]
    settings = current_settings()
    keys = (settings.secret_key, *settings.secret_key_fallbacks)
    # Every key is tried, so that the time taken does not tell which one came close.
    matches = [hmac.compare_digest(mac, _mac(key, payload)) for key in keys]
    if len(mac) != MAC_BYTES or not any(matches):
        return None
    return int.from_bytes(payload[:6], "big"), int.from_bytes(payload[6:], "big")


def _mac(secret_key: str, payload: bytes) -> bytes:
    mac = _keyed(secret_key).copy()
    mac.update(payload)
    return mac.digest()[:MAC_BYTES]


@lru_cache(maxsize=8)
def _keyed(secret_key: str) -> hmac.HMAC:
    return hmac.new(sha256(b"carillon.unsubscribe:" + secret_key.encode()).digest(), digestmod="sha256")
