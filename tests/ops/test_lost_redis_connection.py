"""A worker that closes a connection which is gone already reconnects; it does not stop for good."""

from __future__ import annotations

import pytest

from campaigns.redis_transport import SturdyTransport


def test_closing_a_channel_of_a_connection_that_is_gone_is_a_connection_error(app):
    connection = app.extensions["celery"].connection_for_write()
    assert isinstance(connection.transport, SturdyTransport)
    channel = connection.default_channel
    channel.qos.append(_Message(), "1")
    connection.transport.client = None
    channel._pool = None
    with pytest.raises(ConnectionError) as raised:
        channel.close()
    assert isinstance(raised.value, connection.connection_errors)


class _Message:
    """As much of a message as is remembered until it is acknowledged."""

    delivery_info = {"exchange": "", "routing_key": "work"}
    _raw: dict[str, str] = {}
