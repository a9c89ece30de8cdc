"""The settings of an installation that uses RabbitMQ, in queues of its own that are removed at the end."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from campaigns.ops.drill_house import remove_queues
from tests.parts import skip

RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


@contextmanager
def rabbitmq_settings() -> Iterator[dict[str, str]]:
    """Yield BROKER_URL and QUEUE_PREFIX; skips where no RabbitMQ answers."""
    place = urlsplit(RABBITMQ_URL)
    try:
        socket.create_connection((place.hostname, place.port or 5672), timeout=2).close()
    except OSError:
        skip(f"no RabbitMQ answers at {place.hostname}:{place.port or 5672}")
    prefix = f"test-{secrets.token_hex(4)}-"
    yield {"BROKER_URL": RABBITMQ_URL, "QUEUE_PREFIX": prefix}
    remove_queues(RABBITMQ_URL, prefix)
