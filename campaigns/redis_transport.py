"""The way to a Redis broker, made to survive what kombu 5.7 stumbles over when Redis restarts.

Closing a lost connection it may find that its own end is gone already, and raises an AttributeError. A worker takes
that for a fault of its own: it stops for good, and its pool takes up to a minute to end. Told of a connection error
instead, it connects again.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


class SturdyChannel(kombu_redis.Channel):
    """A channel whose close can fail only in ways that a lost connection is known to fail in."""

    def close(self) -> None:
        """Close, giving unacknowledged messages back if the connection still stands. Raises connection errors only."""
        try:
            super().close()
        except AttributeError as error:
            raise ConnectionError("the connection to Redis was gone before its channel was closed") from error


class SturdyTransport(kombu_redis.Transport):
    """kombu's Redis transport with such channels."""

    Channel = SturdyChannel


def use_sturdy_transport() -> None:
    """Have every redis:// address of this process opened by this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:SturdyTransport"
