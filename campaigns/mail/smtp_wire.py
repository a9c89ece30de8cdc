"""Bytes to and from a mail server: nothing waits for ever, and nobody waits for the other to read first."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeVar, cast

from campaigns.mail.replies import Phase, Reason, enhanced_code
from campaigns.mail.smtp_errors import SessionLost

READ_SIZE = 4096
# RFC 5321 §4.5.3.1.5 allows 512 octets a reply line; servers that explain themselves at length get more, not endless.
MAX_REPLY_SIZE = 65536
MAX_UNREAD = 1 << 20
GO_AHEAD = 354

Result = TypeVar("Result")


class Reply(NamedTuple):
    code: int
    text: str

    @property
    def enhanced(self) -> str:
        return enhanced_code(self.text)

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300


class Wait(NamedTuple):
    """What `Wire.reading` and `Wire.writing` wait for: input, or room for output too, until `time.monotonic()` says so.

    Whoever drives them goes on as soon as it is there, and at the latest when it is time.
    """

    deadline: float
    is_for_room: bool = False


class Wire:
    """A socket, its unread input, and a deadline for each wait. It never blocks by itself.

    `reading` and `writing` stop wherever they have to wait, so that one thread can hold many dialogues at once;
    `read_reply` and `write` are the same for a thread that has nothing else to do.

    Every method raises SessionLost (connection_lost, timeout or protocol_error) naming the phase it was called for.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._input = b""
        self._taken = 0  # how much of the input has been used
        # TLS later keeps the same descriptor, so these stay valid.
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock, select.POLLIN | select.POLLOUT)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._sock.fileno()

    def read_reply(self, phase: Phase, timeout_seconds: float) -> Reply:
        """The next reply, as `reading` gives it."""
        return self._wait_through(self.reading(phase, timeout_seconds))

    def write(self, data: bytes, phase: Phase, timeout_seconds: float) -> None:
        """Send it all, as `writing` does."""
        self._wait_through(self.writing(data, phase, timeout_seconds))

    def reading(self, phase: Phase, timeout_seconds: float) -> Generator[Wait, None, Reply]:
        """The next reply, in the order they came. The deadline is for the whole of it, not for each piece."""
        wait: Wait | None = None
        while (reply := self._parse_reply(phase)) is None:
            if len(self._input) - self._taken > MAX_REPLY_SIZE:
                raise SessionLost(phase, Reason.PROTOCOL_ERROR, "the server's reply does not end")
            if wait is None:
                wait = Wait(time.monotonic() + timeout_seconds)
            elif time.monotonic() >= wait.deadline:
                raise SessionLost(phase, Reason.TIMEOUT, "the server did not answer in time")
            # TLS may hold decrypted bytes that nobody outside can see, so reading comes before waiting.
            if not (self.encrypted and self._receive(phase)):
                yield wait
                self._receive(phase)
        return reply

    def take_go_ahead(self) -> bool:
        """Take the replies to MAIL, RCPT and DATA as one when all have arrived and accept; else take nothing."""
        if not _is_go_ahead(self._input[self._taken :]):
            return False
        self._taken = len(self._input)
        return True

    def refuse_surplus(self, phase: Phase) -> None:
        """Raise SessionLost when more has been said than was asked: from here on every answer would be another's."""
        if len(self._input) > self._taken:
            text = f"an answer to nothing: {_show(self._input[self._taken :])}"
            raise SessionLost(phase, Reason.PROTOCOL_ERROR, text)

    def pending_reply(self, phase: Phase) -> Reply | None:
        """A reply that has already arrived, also after the connection ended; None when there is none.

        Of a server that talks on and on no more is read than a reply may have.
        """
        try:
            while len(self._input) - self._taken <= MAX_REPLY_SIZE and self._receive(phase):
                pass
        except SessionLost:
            pass
        try:
            return self._parse_reply(phase)
        except SessionLost:
            return None

    def writing(
        self, data: bytes, phase: Phase, timeout_seconds: float, *, overall_seconds: float | None = None
    ) -> Generator[Wait, None, None]:
        """Send it all, reading what the server says meanwhile, so that neither waits for the other's full buffer.

        `timeout_seconds` is the longest pause without progress, `overall_seconds` the longest time for everything.
        On failure SessionLost.written tells how much had left.
        """
        sent = 0
        try:
            sent = self._send(data, phase)  # nearly always all of it
            if sent == len(data):
                return
            view, now = memoryview(data), time.monotonic()
            last = now + (overall_seconds if overall_seconds is not None else timeout_seconds)
            deadline = min(now + timeout_seconds, last)
            while sent < len(data):
                if taken := self._send(view[sent:], phase):
                    sent += taken
                    deadline = min(time.monotonic() + timeout_seconds, last)
                    continue
                if time.monotonic() >= deadline:
                    raise SessionLost(phase, Reason.TIMEOUT, "the server did not read in time")
                yield Wait(deadline, is_for_room=True)
                self._receive(phase)
                if len(self._input) - self._taken > MAX_UNREAD:
                    raise SessionLost(phase, Reason.PROTOCOL_ERROR, "the server talks and does not listen")
        except SessionLost as error:
            # A TLS record that failed may still have left in part.
            error.written = max(sent, 1) if self.encrypted else sent
            raise

    def start_tls(self, context: ssl.SSLContext, host: str, timeout_seconds: float) -> None:
        """Change to TLS on this socket. What was read and not used is thrown away: it came without protection.

        An attacker could otherwise put replies in front of the encrypted ones (RFC 3207 §4.2). Raises OSError, of which
        ssl.SSLError and TimeoutError are kinds.
        """
        self._input, self._taken = b"", 0
        self._sock = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self._sock.do_handshake()
                return
            except ssl.SSLWantReadError:
                waiter = self._readable
            except ssl.SSLWantWriteError:
                waiter = self._writable
            if not waiter.poll(max(0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("the server did not finish the TLS handshake in time")

    @property
    def is_quiet(self) -> bool:
        """Whether nothing can be read, not even the end."""
        return len(self._input) == self._taken and not self._readable.poll(0)

    @property
    def encrypted(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket)

    @property
    def protection(self) -> str:
        """The version of TLS and its cipher; empty without TLS."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return ""
        cipher = self._sock.cipher()
        return " ".join(filter(None, (self._sock.version(), cipher[0] if cipher else "")))

    @property
    def local_host(self) -> str:
        """Our end's IP address; empty for a Unix socket."""
        return _host(self._sock.getsockname())

    @property
    def peer_host(self) -> str:
        return _host(self._sock.getpeername())

    def close(self) -> None:
        self._sock.close()

    def _parse_reply(self, phase: Phase) -> Reply | None:
        """Take one complete reply from the input; None when it has not all arrived."""
        start = self._taken
        end = self._input.find(b"\n", start)
        if end < 0:
            return None
        line = self._input[start:end]
        if line[3:4] == b"-":
            return self._parse_long_reply(phase)
        self._taken = end + 1
        return _reply_of(line) or _no_reply(phase, line)

    def _parse_long_reply(self, phase: Phase) -> Reply | None:
        lines: list[bytes] = []
        start = self._taken
        while (end := self._input.find(b"\n", start)) >= 0:
            line = self._input[start:end].rstrip(b"\r")
            start = end + 1
            lines.append(line)
            if _reply_of(line) is None:
                _no_reply(phase, line)
            if line[3:4] != b"-":
                self._taken = start
                if any(other[:3] != line[:3] for other in lines):
                    raise SessionLost(phase, Reason.PROTOCOL_ERROR, f"one reply with two codes: {_show(line)}")
                return Reply(int(line[:3]), "\n".join(_show(one[4:]) for one in lines))
        return None

    def _wait_through(self, steps: Generator[Wait, None, Result]) -> Result:
        try:
            while True:
                wait = next(steps)
                waiter = self._writable if wait.is_for_room else self._readable
                waiter.poll(max(0, wait.deadline - time.monotonic()) * 1000)
        except StopIteration as end:
            return cast("Result", end.value)

    def _send(self, data: bytes | memoryview, phase: Phase) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError as error:
            raise _lost(phase, error) from error

    def _receive(self, phase: Phase) -> bool:
        """Read what is there; False for nothing. Raises SessionLost at the end."""
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise _lost(phase, error) from error
        if not data:
            raise SessionLost(phase, Reason.CONNECTION_LOST, "the server closed the connection")
        self._input = self._input[self._taken :] + data
        self._taken = 0
        return True


@lru_cache(maxsize=512)
def _is_go_ahead(data: bytes) -> bool:
    """Whether these are three replies of one line each that let the content go. Most servers word all theirs alike."""
    *lines, rest = data.split(b"\n")
    if len(lines) != 3 or rest or any(line[3:4] == b"-" for line in lines):
        return False
    mail, rcpt, data_start = map(_reply_of, lines)
    accepted = mail is not None and mail.positive and rcpt is not None and rcpt.positive
    return accepted and data_start is not None and data_start.code == GO_AHEAD


@lru_cache(maxsize=512)
def _reply_of(line: bytes) -> Reply | None:
    """The reply that one line makes, None for a line that is none. A server says few things, and says them often."""
    line = line.rstrip(b"\r")
    if not line[:3].isdigit() or len(line) < 3 or line[3:4] not in (b" ", b"-", b""):
        return None
    return Reply(int(line[:3]), _show(line[4:]))


def _no_reply(phase: Phase, line: bytes) -> NoReturn:
    raise SessionLost(phase, Reason.PROTOCOL_ERROR, f"not an SMTP reply: {_show(line)}")


def _lost(phase: Phase, error: OSError) -> SessionLost:
    return SessionLost(phase, Reason.CONNECTION_LOST, error.strerror or str(error))


def _show(line: bytes) -> str:
    """A server's words fit for a page or a log: no control characters, not endless."""
    text = line[:500].decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _host(name: object) -> str:
    return str(name[0]) if isinstance(name, tuple) and name else ""
