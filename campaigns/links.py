"""Signed links: what a mail may carry, built from the configured public address and never from a request's host."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from campaigns.config import current_settings
from campaigns.linked_pages import public_addresses

# Made of what a token is made of, so that every context treats both alike, and found in no address by chance.
TOKEN_PLACE: Final = "aZ09-_TOKEN_-90Za"  # noqa: S105 - a place in an address, no secret


def sign(purpose: str, payload: Any) -> str:
    """Return a token that only this site can make, good for one purpose; its payload is readable, so ids only."""
    return str(_serializer(purpose).dumps(payload))


def unsign(purpose: str, token: str, *, max_age: timedelta | None = None) -> Any | None:
    """Return the payload of a token made by `sign` for the same purpose, or None when it is forged or too old."""
    seconds = int(max_age.total_seconds()) if max_age else None
    try:
        return _serializer(purpose).loads(token, max_age=seconds)
    except BadSignature:
        return None


def public_url(endpoint: str, **values: Any) -> str:
    """Return the full address of a page as people outside reach it; works in a request, a worker and a command.

    Raises BuildError for a page that `linked_pages.py` does not name.
    """
    return public_addresses().build(endpoint, values, force_external=True)


def around_token(endpoint: str, **values: Any) -> tuple[str, str]:
    """Return a page's full address before and after its token."""
    before, after = public_url(endpoint, token=TOKEN_PLACE, **values).split(TOKEN_PLACE)
    return before, after


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    settings = current_settings()
    keys = [*reversed(settings.secret_key_fallbacks), settings.secret_key]
    return URLSafeTimedSerializer(keys, salt=f"carillon.{purpose}")
