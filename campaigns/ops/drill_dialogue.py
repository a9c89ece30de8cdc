"""What the drill's mail server says to one client, and hears from it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Protocol

from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.drill_record import Accepted

END_OF_CONTENT = b"\r\n.\r\n"


class Keeper(Protocol):
    """The server that all dialogues belong to."""

    offers_chunking: bool
    pause_seconds: float

    def take_mischief(self, step: Step, recipient: str = "") -> Mischief | None:
        """Return what was arranged for this step, once less."""
        ...

    def keep(self, mail: Accepted) -> None:
        """Write an accepted mail down."""
        ...


@dataclass
class Dialogue:
    """One client. Answers are collected and leave together when the server would have to wait (RFC 2920 §3.2)."""

    sink: Keeper
    client: socket.socket
    recipients: list[str] = field(default_factory=list)
    has_open_content: bool = False  # from the answer after which content may come until that to the content has left
    _opens_content: bool | None = None  # what that will be once the collected answers have left; None: as it is
    _is_spoilt: bool = False  # a chunk was refused, and nothing is believed before RSET (RFC 3030 §2)
    _incoming: bytes = b""
    _answers: bytes = b""
    _is_over: bool = False

    def run(self) -> None:
        self._say("220 drill.example.test ESMTP")
        steps = {
            "EHLO": self._ehlo, "HELO": self._ehlo, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data,
            "BDAT": self._bdat,
        }  # fmt: skip
        while not self._is_over:
            line = self._read_line()
            verb = line.partition(" ")[0].upper()
            if verb == "QUIT":
                self._say("221 2.0.0 Bye")
                break
            if self._is_spoilt and verb in ("MAIL", "RCPT", "DATA"):
                self._say("503 5.5.1 RSET first")
            elif verb in steps:
                steps[verb](line)
            else:
                self._reset()
        self._flush()

    def _ehlo(self, _line: str) -> None:
        chunking = "250-CHUNKING\r\n" if self.sink.offers_chunking else ""
        self._say(f"250-drill.example.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n{chunking}250 ENHANCEDSTATUSCODES")

    def _reset(self) -> None:
        self.recipients.clear()
        self._is_spoilt = False
        self._say("250 2.0.0 Ok")

    def _mail(self, _line: str) -> None:
        self.recipients.clear()
        mischief = self.sink.take_mischief(Step.MAIL)
        self._say(mischief.reply if mischief else "250 2.1.0 Ok")
        self._is_over = bool(mischief and mischief.reply.startswith("421"))

    def _rcpt(self, line: str) -> None:
        recipient = line[line.index("<") + 1 : line.index(">")]
        mischief = self.sink.take_mischief(Step.RCPT, recipient)
        if mischief is None:
            self.recipients.append(recipient)
            if self.sink.offers_chunking:
                self._opens_content = True
        self._say(mischief.reply if mischief else "250 2.1.5 Ok")

    def _data(self, _line: str) -> None:
        if not self.recipients:
            self._say("503 5.5.1 No valid recipients")
            return
        self._say("354 Go ahead")
        self._flush()
        self.has_open_content = True
        if cut := self.sink.take_mischief(Step.BEFORE_DOT):
            self._receive()
            cut.then()
            raise EOFError
        self._take_content(self._read_content())

    def _bdat(self, line: str) -> None:
        """Take one chunk that is a whole message; its octets are read whatever becomes of it."""
        octets = int(line.split()[1])
        if self.recipients and (cut := self.sink.take_mischief(Step.BEFORE_DOT)):
            self._read_octets(octets // 2)
            cut.then()
            raise EOFError
        content = self._read_octets(octets)
        if self._is_spoilt or not self.recipients or not line.upper().endswith(" LAST"):
            self._is_spoilt = True
            self._say("503 5.5.1 One chunk for recipients that were accepted")
            return
        self._is_spoilt = not self._take_content(content)
        self.recipients.clear()

    def _take_content(self, content: bytes) -> bool:
        time.sleep(self.sink.pause_seconds)
        is_accepted = self._answer_content(content)
        self._opens_content = False
        return is_accepted

    def _answer_content(self, content: bytes) -> bool:
        if self.sink.take_mischief(Step.AFTER_DOT_LOST):
            raise EOFError
        mischief = self.sink.take_mischief(Step.CONTENT)
        if mischief:
            self._say(mischief.reply)
            return False
        cut = self.sink.take_mischief(Step.AFTER_DOT_KEPT)
        for recipient in self.recipients:
            self.sink.keep(Accepted(time.time(), recipient, _message_id(content), is_answered=cut is None))
        if cut:
            cut.then()
            raise EOFError
        self._say("250 2.0.0 Ok: queued")
        return True

    def _read_line(self) -> str:
        while b"\r\n" not in self._incoming:
            self._receive()
        line, self._incoming = self._incoming.split(b"\r\n", 1)
        return line.decode("ascii", "replace")

    def _read_content(self) -> bytes:
        while END_OF_CONTENT not in self._incoming:
            self._receive()
        content, self._incoming = self._incoming.split(END_OF_CONTENT, 1)
        return content

    def _read_octets(self, count: int) -> bytes:
        while len(self._incoming) < count:
            self._receive()
        content, self._incoming = self._incoming[:count], self._incoming[count:]
        return content

    def _receive(self) -> None:
        self._flush()
        data = self.client.recv(262_144)
        if not data:
            raise EOFError
        self._incoming += data

    def _say(self, line: str) -> None:
        self._answers += line.encode() + b"\r\n"

    def _flush(self) -> None:
        if self._answers:
            self.client.sendall(self._answers)
            self._answers = b""
            if self._opens_content is not None:
                self.has_open_content, self._opens_content = self._opens_content, None


def _message_id(content: bytes) -> str:
    for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line[:11].lower() == b"message-id:":
            return line[11:].strip().decode("ascii", "replace")
    return ""
