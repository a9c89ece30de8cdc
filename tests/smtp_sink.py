"""A real SMTP server for tests that keeps what it accepts and refuses whom it is told to refuse."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as default_policy
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

PATIENCE_SECONDS = 60  # the machine may be busy with something else
FIRST_PORT, PORTS_OF_A_WORKER = 10_240, 2_048  # below those that outgoing connections get
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_next_ports = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """Return a loopback port that is free, and that nobody else gets before the process it is for listens there.

    One that the system chooses may go to the next outgoing connection. So every test process has ports of its own,
    which no connection gets, and takes one after the other.
    """
    for number in _next_ports:
        port = FIRST_PORT + _worker % 8 * PORTS_OF_A_WORKER + number % PORTS_OF_A_WORKER
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError


class PatientController(Controller):
    """As it comes, but that its port is its own from the start, and that its patience is longer than a second.

    `port`: 0 for any that is free, known from then on.
    """

    def __init__(self, handler: Any, *, port: int = 0, **options: Any) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        place = self._listening.getsockname()
        super().__init__(handler, *place, ready_timeout=PATIENCE_SECONDS, **options)

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listening, ssl=self.ssl_context)

    def _trigger_server(self) -> None:
        with socket.create_connection((self.hostname, self.port), PATIENCE_SECONDS) as connection:
            if self.ssl_context:
                trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
                connection = trusting.wrap_socket(connection)
            connection.recv(1024)
            connection.close()


@dataclass(frozen=True)
class ReceivedMail:
    """One accepted mail as it came over the wire."""

    sender: str
    recipient: str
    content: bytes
    connection: int = 0  # the client's port: mails that came over the same connection have the same

    @property
    def message(self) -> EmailMessage:
        return BytesParser(policy=default_policy).parsebytes(self.content)  # type: ignore[return-value]

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return part.get_content() if part else ""

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        return part.get_content() if part else ""


@dataclass
class Sink:
    """The server; `refusals` maps a recipient to the reply it gets, `mails` is what was accepted."""

    mails: list[ReceivedMail] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    refuse_sender: str = ""
    content_reply: str = "250 2.0.0 Ok: queued"
    pause_seconds: float = 0  # before each reply to content
    # What happens when so many mails have come, before the last of them is answered; the server stands still meanwhile.
    at_mail: dict[int, Callable[[], object]] = field(default_factory=dict)
    at_sender: dict[int, Callable[[], object]] = field(default_factory=dict)  # the same for so many MAIL commands
    port: int = 0
    _senders: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _controller: Controller | None = None

    def start(self) -> None:
        # Of its own, so that nobody else answers there while it is stopped.
        self._controller = PatientController(self, port=self.port or free_port())
        self.port = self._controller.port
        self._controller.start()

    def stop(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    def to(self, recipient: str) -> list[ReceivedMail]:
        with self._lock:
            return [mail for mail in self.mails if mail.recipient == recipient]

    async def handle_MAIL(self, _smtp: SMTP, _s: Session, envelope: Envelope, address: str, options: Any) -> str:
        self.at_sender.pop(next(self._senders), lambda: None)()
        if self.refuse_sender:
            return self.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _smtp: SMTP, _s: Session, envelope: Envelope, address: str, _options: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _smtp: SMTP, session: Session, envelope: Envelope) -> str:
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        if self.content_reply.startswith("2"):
            with self._lock:
                for recipient in envelope.rcpt_tos:
                    content = bytes(envelope.original_content or b"")
                    port = session.peer[1] if isinstance(session.peer, tuple) else 0
                    self.mails.append(ReceivedMail(envelope.mail_from or "", recipient, content, port))
            self.at_mail.pop(len(self.mails), lambda: None)()
        return self.content_reply
