"""A relay that is far away: passes bytes on, each way a while later. `python -m bench.delay_proxy 25 <from> <to>`."""

from __future__ import annotations

import asyncio
import sys


class End(asyncio.Protocol):
    """One end of a passed-on connection; what it receives leaves at the other end after the delay, in order."""

    def __init__(self, delay_seconds: float) -> None:
        self.other: End | None = None
        self._delay_seconds = delay_seconds
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to write to."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on, later."""
        asyncio.get_running_loop().call_later(self._delay_seconds, self._pass_on, data)

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other end after what is still on its way."""
        asyncio.get_running_loop().call_later(self._delay_seconds, self._close_other)

    def write(self, data: bytes) -> None:
        """Send what came from the other end."""
        if self._transport:
            self._transport.write(data)

    def join(self, other: End) -> None:
        """Tie two ends together."""
        self.other, other.other = other, self
        for data in self._early:
            other.write(data)

    def _pass_on(self, data: bytes) -> None:
        if self.other:
            self.other.write(data)
        else:
            self._early.append(data)

    def _close_other(self) -> None:
        if self.other and self.other._transport:
            self.other._transport.close()


class Entrance(End):
    """The end that a client connects to."""

    def __init__(self, delay_seconds: float, port: int) -> None:
        super().__init__(delay_seconds)
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the connection behind it."""
        super().connection_made(transport)
        task = asyncio.get_running_loop().create_task(self._open())
        self._tasks.add(task)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, exit_end = await loop.create_connection(lambda: End(self._delay_seconds), "127.0.0.1", self._port)
        self.join(exit_end)


async def serve(delay_milliseconds: float, from_port: int, to_port: int) -> None:
    """Pass connections on until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Entrance(delay_milliseconds / 1000, to_port), "127.0.0.1", from_port, backlog=256
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
