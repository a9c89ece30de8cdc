"""The blueprint that this area's pages hang on, and what they share."""

from __future__ import annotations

from flask import Blueprint

from campaigns.presentation import mask_address
from campaigns.reports.reasons import without_addresses
from campaigns.security import Right, can

bp = Blueprint("reports", __name__)


def shown_address(address: str) -> str:
    """Return an address as this person may see it: in full with the right to see people, else masked."""
    return address if can(Right.SEE_USERS) else mask_address(address)


def shown_reply(reply: str | None) -> str:
    """Return a server's words as this person may see them; servers like to repeat the address they refused."""
    return (reply or "") if can(Right.SEE_USERS) else without_addresses(reply)
