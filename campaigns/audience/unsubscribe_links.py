"""Unsubscribe links: short, cheap to make for a million recipients, and impossible to make for anybody else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from campaigns.link_macs import is_our_mac, link_mac

PURPOSE: Final = "unsubscribe"


def unsubscribe_token(secret_key: str, user_id: int, campaign_id: int) -> str:
    """Return the token of one person's unsubscribe link in one campaign; it never expires (RFC 8058 §3.1)."""
    payload = user_id.to_bytes(6, "big") + campaign_id.to_bytes(4, "big")
    return urlsafe_b64encode(payload + link_mac(PURPOSE, secret_key, payload)).rstrip(b"=").decode()


def read_unsubscribe_token(token: str) -> tuple[int, int] | None:
    """Return (user id, campaign id), or None for a token that this site has not made."""
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    payload, mac = data[:10], data[10:]
    if not is_our_mac(PURPOSE, mac, payload):
        return None
    return int.from_bytes(payload[:6], "big"), int.from_bytes(payload[6:], "big")
