"""A small SMTP server for tests that answers exactly what it is told, one thread per connection.

    with ScriptedServer(offers=["PIPELINING"], rcpt=["250 ok", "550 5.1.1 unknown"]) as server:
        open_connection(server.settings())

Each step (`greeting`, `ehlo`, `starttls`, `auth`, `mail`, `rcpt`, `data`, `dot`, `bdat`, `rset`, `noop`) takes one
answer for ever, or a list of which the last repeats. An answer is a reply line, several joined by `\\n`, or HANG_UP,
SILENCE, or a function of the talk.

`dot` is the answer to content after DATA, `bdat` that to a chunk after its octets. Once a chunk was refused, everything
is answered 503 until RSET (RFC 3030 §2).
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from campaigns.mail.smtp import Connection, Envelope, OutcomeKind, ServerSettings, Timeouts

HANG_UP = "HANG UP"
SILENCE = "SILENCE"
QUICK = Timeouts(connect=30, greeting=30, command=30, data_start=30, data_block=30, final_dot=30, quit=1)
# For servers that fall silent; whoever is only late on a busy machine is not meant.
IMPATIENT = Timeouts(connect=30, greeting=1, command=1, data_start=1, data_block=1, final_dot=1, quit=0.4)
DEFAULTS = {
    "greeting": "220 mail.example.test ESMTP",
    "starttls": "220 2.0.0 go ahead",
    "auth": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "250 2.0.0 queued",
    "bdat": "250 2.0.0 queued",
    "rset": "250 2.0.0 ok",
    "noop": "250 2.0.0 ok",
}


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    content: bytes
    accepted: bool


class ScriptedServer:
    """`mails`: everything that reached its final dot. `commands`: every line, in order. `writes`: input as it came.

    With `octets_at_once` each answer leaves in pieces of that size. `before_reading` is called before each read.
    """

    def __init__(
        self,
        *,
        offers: list[str] | None = None,
        offers_after_tls: list[str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        unix_path: str = "",
        helo_only: bool = False,
        octets_at_once: int = 0,
        **answers: Any,
    ) -> None:
        self.offers = offers or []
        self.offers_after_tls = self.offers if offers_after_tls is None else offers_after_tls
        self.tls, self.implicit_tls, self.helo_only = tls, implicit_tls, helo_only
        self.octets_at_once = octets_at_once
        self.before_reading: Callable[[Talk], object] = lambda _: None
        self.answers = {**DEFAULTS, **answers}
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self.writes: list[bytes] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.counts: dict[str, int] = {}
        self.closing = threading.Event()
        self.unix_path = unix_path
        if unix_path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(unix_path)
            self.listener.listen()
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
        self.talks: list[Talk] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def settings(self, **changes: Any) -> ServerSettings:
        place = {"socket_path": self.unix_path} if self.unix_path else {"host": "127.0.0.1", "port": self.port}
        return ServerSettings(**{**place, "timeouts": QUICK, **changes})

    @property
    def accepted(self) -> list[str]:
        return [recipient for mail in self.mails if mail.accepted for recipient in mail.recipients]

    def next_answer(self, step: str) -> Any:
        with self.lock:
            answers = self.answers[step]
            if not isinstance(answers, list):
                return answers
            number = self.counts.get(step, 0)
            self.counts[step] = number + 1
            return answers[min(number, len(answers) - 1)]

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join(60)  # nobody else is let in
        for talk in self.talks:
            talk.hear_no_more()
        for thread in self.threads:
            thread.join(60)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.talks.append(Talk(self, sock, number=len(self.talks)))
            thread = threading.Thread(target=self._serve, args=(self.talks[-1],), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, talk: Talk) -> None:
        try:
            talk.run()
        except (OSError, EOFError):
            pass
        finally:
            talk.sock.close()


@dataclass
class Talk:
    server: ScriptedServer
    sock: socket.socket
    number: int = 0  # the first connection's is 0
    buffer: bytearray = field(default_factory=bytearray)
    secure: bool = False
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    spoilt: bool = False
    heard: str = ""  # the last command
    said: str = ""  # the last answer, once it has left

    def run(self) -> None:
        self.sock.settimeout(60)
        if not self.server.unix_path:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.implicit_tls:
            self.wrap()
        self.answer("greeting")
        steps: dict[str, Callable[[str], None]] = {
            "EHLO": self.ehlo,
            "HELO": lambda _: self.say("250 hello"),
            "STARTTLS": self.starttls,
            "AUTH": self.auth,
            "MAIL": self.mail,
            "RCPT": self.rcpt,
            "DATA": self.data,
            "BDAT": self.bdat,
            "RSET": self.rset,
            "NOOP": lambda _: self.answer("noop"),
        }
        while line := self.read_line():
            verb = line.partition(" ")[0].upper()
            if verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            step = steps.get(verb, lambda _: self.say("500 5.5.2 what?"))
            step(line) if not self.spoilt or verb in ("RSET", "BDAT") else self.say("503 5.5.1 RSET first")

    def ehlo(self, _: str) -> None:
        if self.server.helo_only:
            return self.say("502 5.5.1 no")
        if "ehlo" in self.server.answers:
            self.answer("ehlo")
            return None
        offers = self.server.offers_after_tls if self.secure else self.server.offers
        lines = ["mail.example.test", *offers]
        return self.say("\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines))

    def starttls(self, _: str) -> None:
        if self.answer("starttls").startswith("220"):
            self.wrap()

    def auth(self, line: str) -> None:
        if line.upper() == "AUTH LOGIN":
            for question in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                self.say(f"334 {question}")
                self.read_line()
        self.answer("auth")

    def mail(self, line: str) -> None:
        if self.sender is not None:
            return self.say("503 5.5.1 nested MAIL command")
        if self.answer("mail").startswith("2"):
            self.sender, self.recipients = line, []
        return None

    def rcpt(self, line: str) -> None:
        if self.answer("rcpt").startswith("2"):
            self.recipients.append(line[line.index("<") + 1 : line.index(">")])

    def data(self, _: str) -> None:
        if self.sender is None and self.server.answers["data"] == DEFAULTS["data"]:
            return self.say("503 5.5.1 MAIL first")
        if not self.answer("data").startswith("354"):
            return None
        content = self.read_content()
        answer = self.answer("dot", before=lambda reply: self.record(content, reply))
        assert answer
        self.sender, self.recipients = None, []
        return None

    def bdat(self, line: str) -> None:
        """One chunk, whose octets are read whatever the answer."""
        _, octets, last = line.split()
        assert last == "LAST"
        content = self.read_octets(int(octets))
        if not self.recipients or self.spoilt:
            return self.say("503 5.5.1 RCPT first")
        answer = self.answer("bdat", before=lambda reply: self.record(content, reply))
        self.spoilt = not answer.startswith("2")
        self.sender, self.recipients = None, []
        return None

    def record(self, content: bytes, reply: str) -> None:
        accepted = reply.startswith("2") and bool(self.recipients)
        self.server.mails.append(Mail(self.sender or "", list(self.recipients), content, accepted))

    def rset(self, _: str) -> None:
        self.sender, self.recipients, self.spoilt = None, [], False
        self.answer("rset")

    def answer(self, step: str, before: Callable[[str], None] = lambda _: None) -> str:
        answer = self.server.next_answer(step)
        if callable(answer):
            answer = answer(self)
        before(answer)
        if answer == HANG_UP:
            raise EOFError
        if answer == SILENCE:
            self.server.closing.wait(60)
            raise EOFError
        self.say(answer)
        if answer.startswith("421"):
            raise EOFError
        return answer

    def say(self, text: str) -> None:
        data = text.replace("\n", "\r\n").encode() + b"\r\n"
        size = self.server.octets_at_once or len(data)
        for start in range(0, len(data), size):
            self.sock.sendall(data[start : start + size])
        self.said = text

    def read_line(self) -> str:
        while b"\r\n" not in self.buffer:
            self.receive()
        self.heard = self.take(self.buffer.index(b"\r\n") + 2).decode().removesuffix("\r\n")
        self.server.commands.append(self.heard)
        return self.heard

    def read_octets(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.receive()
        return self.take(count)

    def read_content(self) -> bytes:
        """Up to the final dot, with doubled dots undone."""
        self.buffer[:0] = b"\r\n"
        looked_at = 0
        while (end := self.buffer.find(b"\r\n.\r\n", looked_at)) < 0:
            looked_at = max(0, len(self.buffer) - 4)
            self.receive()
        content = self.take(end + 5)[: end + 2]
        return content[2:].replace(b"\r\n..", b"\r\n.").removeprefix(b"." if content[2:4] == b".." else b"")

    def take(self, count: int) -> bytes:
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def receive(self) -> None:
        self.server.before_reading(self)
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.server.writes.append(data)
        self.buffer += data

    def wrap(self) -> None:
        assert self.server.tls is not None
        self.buffer.clear()
        self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        self.secure = True

    def hear_no_more(self) -> None:
        """Let the end of what has come already be the end of the talk, though the client keeps its connection."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RD)  # of the socket, whether or not TLS is in it

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def envelope(number: int, content: bytes = b"Subject: hello\r\n\r\nbody\r\n", **changes) -> Envelope:
    values = {"sender": "news@example.com", "recipient": f"user{number}@example.org", "content": content, "ref": number}
    return Envelope(**(values | changes))


def envelopes(count: int, content: bytes = b"Subject: hello\r\n\r\nbody\r\n") -> Iterator[Envelope]:
    return (envelope(number, content) for number in range(count))


def kinds(connection: Connection, source: Iterator[Envelope | None], **more) -> list[tuple[int, OutcomeKind]]:
    return [(settled.ref, outcome.kind) for settled, outcome in connection.send_all(source, **more)]


def refs(server: ScriptedServer) -> list[int]:
    return [int(re.findall(r"\d+", recipient)[0]) for recipient in server.accepted]
