"""The mail catcher of trial mode: a real SMTP server on a private Unix socket, whose mails are read at /inbox.

`python -m campaigns.ops.catcher`. A mail is answered 250 only when it is committed; mails that arrive together over
several connections share a commit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from aiosmtpd.smtp import SMTP, Envelope, Session

from campaigns.clock import utcnow
from campaigns.config import Settings, load_settings_or_exit
from campaigns.logs import configure_logging
from campaigns.ops.inbox import InboxWriter, inbox_path, inbox_row
from campaigns.ops.run_folder import make_private_folder

SIZE_LIMIT_BYTES = 50_000_000
LARGEST_COMMIT = 200

Waiting = tuple[tuple[object, ...], "Future[None]"]
logger = logging.getLogger(__name__)


def main() -> None:
    """Catch mails until the process is told to stop."""
    settings = load_settings_or_exit(os.environ)
    configure_logging(settings)
    asyncio.run(catch_mails(settings))


async def catch_mails(settings: Settings) -> None:
    """Listen on the catcher's socket until SIGTERM or SIGINT; open dialogues get a few seconds to finish."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    keeper = Keeper(inbox_path(settings.instance_dir))
    server = await _listen(settings.catcher_socket, Handler(keeper))
    logger.info("catching mail on %s", settings.catcher_socket)
    await stopped.wait()
    server.close()
    await asyncio.to_thread(keeper.close)
    settings.catcher_socket.unlink(missing_ok=True)


class Keeper:
    """Stores mails from a thread of its own, as many in one commit as have come in meanwhile."""

    def __init__(self, path: Path) -> None:
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._writer = InboxWriter(path)
        self._thread = Thread(target=self._write_all, name="keeper")
        self._thread.start()

    def keep(self, row: tuple[object, ...]) -> Future[None]:
        """Store a row made by `inbox_row`; the future is done when it is committed."""
        future: Future[None] = Future()
        self._queue.put((row, future))
        return future

    def close(self) -> None:
        """Store what has come in, then end."""
        self._queue.put(None)
        self._thread.join()
        self._writer.close()

    def _write_all(self) -> None:
        while (first := self._queue.get()) is not None:
            together = [first]
            while len(together) < LARGEST_COMMIT and not self._queue.empty():
                another = self._queue.get()
                if another is None:
                    self._queue.put(None)
                    break
                together.append(another)
            self._write(together)

    def _write(self, together: list[Waiting]) -> None:
        try:
            self._writer.write([row for row, _future in together])
        except Exception as error:
            logger.exception("mail could not be stored")
            for _row, future in together:
                future.set_exception(error)
            return
        for _row, future in together:
            future.set_result(None)


class Handler:
    """What the SMTP server calls for each mail."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take the mail for each of its recipients, and answer when all are committed."""
        content = bytes(envelope.original_content or b"")
        received_at, sender = utcnow(), envelope.mail_from or ""
        kept = [
            self._keeper.keep(inbox_row(received_at=received_at, sender=sender, recipient=each, content=content))
            for each in envelope.rcpt_tos
        ]
        try:
            await asyncio.gather(*(asyncio.wrap_future(future) for future in kept))
        except Exception:
            return "451 4.3.0 The mail could not be stored"
        return "250 2.0.0 Ok: caught"


async def _listen(path: Path, handler: Handler) -> asyncio.Server:
    make_private_folder(path.parent)
    path.unlink(missing_ok=True)
    loop = asyncio.get_running_loop()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)

    def new_dialogue() -> SMTP:
        return SMTP(
            handler, hostname="catcher.localhost", ident="Carillon catcher", loop=loop,
            data_size_limit=SIZE_LIMIT_BYTES, enable_SMTPUTF8=True, timeout=600,
        )  # fmt: skip

    return await loop.create_unix_server(new_dialogue, sock=listener, backlog=128)


if __name__ == "__main__":
    main()
