"""The drill's mail server: it writes down every mail it accepts before it says so, and misbehaves when asked to.

What is in its record was accepted, whatever the sender came to hear of it. Nothing is passed on to anybody.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from campaigns.ops.drill_dialogue import Dialogue
from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.drill_record import Accepted, record_line

SILENCE_SECONDS = 120.0  # of a client; one that was stopped in mid-dialogue may come back


@dataclass(frozen=True)
class _Client:
    """One connection: its number, which no other gets, and the port from which it comes, which others may get later."""

    number: int
    port: int


@dataclass
class DrillSink:
    """The server: one thread a connection. Every attribute may be changed while it runs."""

    record_path: Path
    port: int = 0  # 0: any that is free, known once it has started
    offers_chunking: bool = False
    pause_seconds: float = 0.0  # before each answer to content
    accepted: int = 0
    # By number: connections that ended, whoever ended them, with a content that had no answer, or by a kill.
    cut_connections: set[int] = field(default_factory=set)
    mischief: list[Mischief] = field(default_factory=list)
    _connections: dict[socket.socket, _Client] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
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
            threading.Thread(target=self.accept_from, args=(self._listener,), daemon=True, name="drill-sink").start()

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

    def expect_cut(self, ports: Collection[int] | None) -> int:
        """Count clients at these ports as cut, for they are about to be killed; None means all. Returns how many."""
        with self._lock:
            doomed = {each.number for each in self._connections.values() if ports is None or each.port in ports}
            self.cut_connections |= doomed
        return len(doomed)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now, idle ones included."""
        return len(self._connections)

    def accept_from(self, listener: socket.socket) -> None:
        """Serve all that comes to a socket that listens, until it is shut down."""
        while True:
            try:
                client, (_, port) = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(SILENCE_SECONDS)
            with self._lock:
                self._connections[client] = _Client(next(self._numbers), port)
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="drill-sink").start()

    def _serve(self, client: socket.socket) -> None:
        dialogue = Dialogue(self, client)
        try:
            dialogue.run()
        except (OSError, EOFError):
            pass
        finally:
            with self._lock:
                number = self._connections.pop(client).number
                if dialogue.has_open_content:
                    self.cut_connections.add(number)
            client.close()

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


def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock
