"""The tokens in tracked addresses: one for each recipient of a campaign, whatever the number of links.

A token says whose mail it was in, and only this site can make it. It opens nothing but the targets of that campaign's
links, which the campaign itself holds; it is good for no other purpose, unsubscribing among them.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

from campaigns.compose.tracked_links import TOKEN_CHARACTERS
from campaigns.link_macs import is_our_mac, link_mac

PURPOSE: Final = "tracking"
ID_BYTES: Final = 4


class MailKey(NamedTuple):
    """One recipient's mail: a row of the ledger."""

    campaign_id: int
    position: int


def tracking_token(secret_key: str, campaign_id: int, position: int) -> str:
    """Return the token of one recipient's tracked addresses; it never expires."""
    payload = campaign_id.to_bytes(ID_BYTES, "big") + position.to_bytes(ID_BYTES, "big")
    return urlsafe_b64encode(payload + link_mac(PURPOSE, secret_key, payload)).decode()


def read_tracking_token(token: str) -> MailKey | None:
    """Return whose mail a token was in, or None for one that this site has not made."""
    try:
        data = urlsafe_b64decode(token)
    except ValueError:
        return None
    # One way of writing a token only: base64 would overlook characters that are not its own.
    if len(token) != TOKEN_CHARACTERS or urlsafe_b64encode(data).decode() != token:
        return None
    payload, mac = data[: 2 * ID_BYTES], data[2 * ID_BYTES :]
    if not is_our_mac(PURPOSE, mac, payload):
        return None
    return MailKey(int.from_bytes(payload[:ID_BYTES], "big"), int.from_bytes(payload[ID_BYTES:], "big"))
