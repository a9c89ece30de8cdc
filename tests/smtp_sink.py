"""A real SMTP server for tests that keeps what it accepts and refuses whom it is told to refuse."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as default_policy
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class ReceivedMail:
    """One accepted mail as it came over the wire."""

    sender: str
    recipient: str
    content: bytes

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
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _controller: Controller | None = None

    def start(self) -> None:
        self.port = self.port or free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    def to(self, recipient: str) -> list[ReceivedMail]:
        with self._lock:
            return [mail for mail in self.mails if mail.recipient == recipient]

    async def handle_MAIL(self, _smtp: SMTP, _s: Session, envelope: Envelope, address: str, options: Any) -> str:
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

    async def handle_DATA(self, _smtp: SMTP, _s: Session, envelope: Envelope) -> str:
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        if self.content_reply.startswith("2"):
            with self._lock:
                for recipient in envelope.rcpt_tos:
                    content = bytes(envelope.original_content or b"")
                    self.mails.append(ReceivedMail(envelope.mail_from or "", recipient, content))
        return self.content_reply
