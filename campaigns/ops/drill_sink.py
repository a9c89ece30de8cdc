"""The drill's mail server: it writes down every mail it accepts before it says so, and misbehaves when asked to.

What is in its record was accepted, whatever the sender came to hear of it. Nothing is passed on to anybody.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from campaigns.ops.drill_record import Accepted, record_line

END_OF_CONTENT = b"\r\n.\r\n"
SILENCE_SECONDS = 120.0  # of a client; one that was stopped in mid-dialogue may come back


class Step(StrEnum):
    """Where in the dialogue the server misbehaves."""

    MAIL = "mail"
    RCPT = "rcpt"
    CONTENT = "content"  # with a refusal as the answer
    BEFORE_DOT = "before_dot"  # hangs up with the content half read
    AFTER_DOT_KEPT = "after_dot_kept"  # takes the mail and hangs up without an answer
    AFTER_DOT_LOST = "after_dot_lost"  # hangs up without an answer, and the mail is gone


@dataclass
class Mischief:
    """A misbehaviour and how many more times it happens.

    `reply` is the answer at MAIL, RCPT and CONTENT. At RCPT only recipients of `domain` are concerned, if one is given.
    `then` is called at that very moment: at BEFORE_DOT some content has come, at AFTER_DOT_KEPT the mail is kept.
    """

    step: Step
    times: int
    reply: str = ""
    domain: str = ""
    then: Callable[[], object] = lambda: None


@dataclass
class DrillSink:
    """The server: one thread a connection. Every attribute may be changed while it runs."""

    record_path: Path
    port: int = 0  # 0: any that is free, known once it has started
    pause_seconds: float = 0.0  # before each answer to content
    accepted: int = 0
    cut_contents: int = 0  # connections that ended, whoever ended them, with a content that had no answer
    mischief: list[Mischief] = field(default_factory=list)
    _connections: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reserve: socket.socket | None = None
    _listener: socket.socket | None = None
    _record: int = -1

    def start(self) -> None:
        """Reserve the port and listen. Raises OSError when another program has it."""
        self._record = os.open(self.record_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # Bound and never listening, it keeps the port ours while connections are refused.
        self._reserve = _bind(self.port)
        self.port = self._reserve.getsockname()[1]
        self.listen()

    def listen(self) -> None:
        """Accept connections (again). Harmless to repeat."""
        if self._listener is None:
            self._listener = _bind(self.port)
            self._listener.listen(128)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="drill-sink").start()

    def refuse(self) -> None:
        """Close the door: connections are refused, and those that are open are lost."""
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._hang_up_on_all()

    def stop(self) -> None:
        """End everything; the record stays."""
        self.refuse()
        if self._reserve:
            self._reserve.close()
            os.close(self._record)
            self._reserve = None

    def arrange(self, mischief: Mischief) -> None:
        """Misbehave the next times."""
        with self._lock:
            self.mischief.append(mischief)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now, idle ones included."""
        return len(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(SILENCE_SECONDS)
            self._connections.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="drill-sink").start()

    def _serve(self, client: socket.socket) -> None:
        dialogue = _Dialogue(self, client)
        try:
            dialogue.run()
        except (OSError, EOFError):
            pass
        finally:
            self._connections.discard(client)
            client.close()
        if dialogue.has_open_content:
            with self._lock:
                self.cut_contents += 1

    def _hang_up_on_all(self) -> None:
        for client in list(self._connections):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def take_mischief(self, step: Step, recipient: str = "") -> Mischief | None:
        """Return what was arranged for this step, once less."""
        with self._lock:
            for mischief in self.mischief:
                if mischief.step is step and mischief.times > 0 and recipient.endswith(mischief.domain):
                    mischief.times -= 1
                    return mischief
        return None

    def keep(self, mail: Accepted) -> None:
        """Write an accepted mail down; only afterwards may the answer be given."""
        line = record_line(mail)
        if os.write(self._record, line) != len(line):
            raise OSError("the record could not be written")
        with self._lock:
            self.accepted += 1


@dataclass
class _Dialogue:
    """One client. Answers are collected and leave together when the server would have to wait (RFC 2920 §3.2)."""

    sink: DrillSink
    client: socket.socket
    recipients: list[str] = field(default_factory=list)
    has_open_content: bool = False  # from the word to go ahead until the answer to the content has left
    _is_answering: bool = False
    _incoming: bytes = b""
    _answers: bytes = b""
    _is_over: bool = False

    def run(self) -> None:
        self._say("220 drill.example.test ESMTP")
        steps = {"EHLO": self._ehlo, "HELO": self._ehlo, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data}
        while not self._is_over:
            line = self._read_line()
            verb = line.partition(" ")[0].upper()
            if verb == "QUIT":
                self._say("221 2.0.0 Bye")
                break
            if verb in steps:
                steps[verb](line)
            else:
                self.recipients.clear()
                self._say("250 2.0.0 Ok")
        self._flush()

    def _ehlo(self, _line: str) -> None:
        self._say("250-drill.example.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")

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
        content = self._read_content()
        time.sleep(self.sink.pause_seconds)
        self._answer_content(content)
        self._is_answering = True

    def _answer_content(self, content: bytes) -> None:
        if self.sink.take_mischief(Step.AFTER_DOT_LOST):
            raise EOFError
        mischief = self.sink.take_mischief(Step.CONTENT)
        if mischief:
            self._say(mischief.reply)
            return
        cut = self.sink.take_mischief(Step.AFTER_DOT_KEPT)
        for recipient in self.recipients:
            self.sink.keep(Accepted(time.time(), recipient, _message_id(content), is_answered=cut is None))
        if cut:
            cut.then()
            raise EOFError
        self._say("250 2.0.0 Ok: queued")

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
            if self._is_answering:
                self.has_open_content = self._is_answering = False


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _message_id(content: bytes) -> str:
    for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line[:11].lower() == b"message-id:":
            return line[11:].strip().decode("ascii", "replace")
    return ""
