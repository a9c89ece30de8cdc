"""The way to a Redis broker, made to survive what kombu 5.7 stumbles over when Redis restarts or is full.

Closing a lost connection it may find that its own end is gone already, and raises an AttributeError. A Redis that is
full, or has become a replica, answers every write with an error. A worker takes either for a fault of its own: it
consumes no more, and lives on. Told of a connection error instead, it connects again until that succeeds.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.base import QoS as VirtualQoS
from redis.exceptions import OutOfMemoryError, ReadOnlyError


class SturdyQoS(kombu_redis.QoS):
    """Remembers what is not acknowledged yet, and forgets it also while Redis is full."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message.

        kombu deletes its two marks in one transaction, which a full Redis refuses; outside a transaction it takes
        deletions. A message that stayed would hold its slot of the worker for good. Each deletion may be repeated.
        """
        try:
            super().ack(delivery_tag)
        except OutOfMemoryError:
            with self.channel.conn_or_acquire() as client:  # type: ignore[attr-defined]
                client.zrem(self.unacked_index_key, delivery_tag)
                client.hdel(self.unacked_key, delivery_tag)
            VirtualQoS.ack(self, delivery_tag)


class SturdyChannel(kombu_redis.Channel):
    """A channel whose close can fail only in ways that a lost connection is known to fail in."""

    QoS = SturdyQoS

    def close(self) -> None:
        """Close, giving unacknowledged messages back if the connection still stands. Raises connection errors only."""
        try:
            super().close()
        except AttributeError as error:
            raise ConnectionError("the connection to Redis was gone before its channel was closed") from error


class SturdyTransport(kombu_redis.Transport):
    """kombu's Redis transport with such channels."""

    Channel = SturdyChannel
    connection_errors = (*kombu_redis.Transport.connection_errors, OutOfMemoryError, ReadOnlyError)


def use_sturdy_transport() -> None:
    """Have every redis:// address of this process opened by this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:SturdyTransport"
