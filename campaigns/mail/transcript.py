"""One mail with everything that was said on the way, for people who want to know why a mail server does not take mail.

Passwords are masked where they are written down: in what we say, and should a server repeat them, in what it says.
"""

from __future__ import annotations

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from campaigns.mail.replies import Phase
from campaigns.mail.smtp import Connection, ConnectionNotOpened, Envelope, Outcome, OutcomeKind, ServerSettings
from campaigns.mail.smtp_session import open_session
from campaigns.mail.smtp_settings import Timeouts
from campaigns.mail.smtp_wire import Reply, Wait, Wire

MASK: Final = "••••••"
QUIT: Final = "quit"
# Somebody waits before a page: what does not answer by then is said to be slow.
TIMEOUTS: Final = Timeouts(connect=8, greeting=10, command=10, data_start=10, data_block=10, final_dot=20, quit=3)

Speaker = Literal["us", "server", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """What was said, by whom, how many milliseconds after the start."""

    speaker: Speaker
    text: str
    at_ms: int


@dataclass(slots=True)
class Step:
    """One step of the session: a Phase's value, or `quit`."""

    name: str
    lines: list[Line] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """All steps in order; `outcome` when it came to a mail, `refusal` when it came to no session."""

    server: str
    steps: tuple[Step, ...]
    outcome: Outcome | None = None
    refusal: ConnectionNotOpened | None = None
    is_protected: bool = False

    @property
    def was_taken(self) -> bool:
        """Whether the server took the mail."""
        return self.outcome is not None and self.outcome.kind is OutcomeKind.SENT


def send_and_listen(server: ServerSettings, envelope: Envelope | None = None) -> Transcript:
    """Send one mail over a connection of its own, step by step, within about a minute, and return what was said.

    Without a mail it stops where the server would take one. Raises nothing for what the server does.
    """
    careful = replace(server, timeouts=TIMEOUTS, use_pipelining=False)
    notes = _Notes(careful)
    try:
        session = open_session(careful, lambda sock: _ListeningWire(sock, notes))
    except ConnectionNotOpened as refusal:
        notes.fail(refusal.phase, "" if refusal.code else refusal.text)
        return Transcript(server.address, tuple(notes.steps), refusal=refusal)
    with Connection(session) as connection:
        is_protected = connection.encrypted
        outcome = connection.send(envelope) if envelope else None
        if outcome and outcome.kind is not OutcomeKind.SENT:
            notes.fail(outcome.phase, "" if outcome.code else outcome.text)
    return Transcript(server.address, tuple(notes.steps), outcome=outcome, is_protected=is_protected)


class _Notes:
    """What was said so far, with every secret masked."""

    def __init__(self, server: ServerSettings) -> None:
        login = f"\0{server.username}\0{server.password}"
        secrets = {server.password, _base64(server.password), _base64(login)} if server.password else set()
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._begin = time.monotonic()
        self.steps = [Step(Phase.CONNECT.value, [Line("note", server.address, 0)])]

    def say(self, name: str, speaker: Speaker, text: str) -> None:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        if self.steps[-1].name != name:
            self.steps.append(Step(name))
        self.steps[-1].lines.append(Line(speaker, text, round((time.monotonic() - self._begin) * 1000)))

    def fail(self, phase: Phase, text: str) -> None:
        if text:
            self.say(phase.value, "note", text)
        for step in reversed(self.steps):
            if step.name == phase.value:
                step.failed = True
                return


class _ListeningWire(Wire):
    """A wire that notes what goes over it."""

    def __init__(self, sock: socket.socket, notes: _Notes) -> None:
        super().__init__(sock)
        self._notes = notes
        self._quitting = False

    def writing(
        self, data: bytes, phase: Phase, timeout_seconds: float, *, overall_seconds: float | None = None
    ) -> Generator[Wait, None, None]:
        """Note what we say, and say it."""
        self._quitting = data.startswith(b"QUIT")
        self._notes.say(self._name(phase), "us", _shown(data, phase))
        yield from super().writing(data, phase, timeout_seconds, overall_seconds=overall_seconds)

    def reading(self, phase: Phase, timeout_seconds: float) -> Generator[Wait, None, Reply]:
        """Note what the server says."""
        reply = yield from super().reading(phase, timeout_seconds)
        *first, last = reply.text.split("\n")
        for line in first:
            self._notes.say(self._name(phase), "server", f"{reply.code}-{line}")
        self._notes.say(self._name(phase), "server", f"{reply.code} {last}")
        return reply

    def start_tls(self, context: ssl.SSLContext, host: str, timeout_seconds: float) -> None:
        """Note which protection was agreed on."""
        super().start_tls(context, host, timeout_seconds)
        self._notes.say(Phase.STARTTLS.value, "note", self.protection)

    def _name(self, phase: Phase) -> str:
        return QUIT if self._quitting else phase.value


def _shown(data: bytes, phase: Phase) -> str:
    if phase is Phase.CONTENT:
        head, content = data.split(b"\r\n", 1) if data.startswith(b"BDAT ") else (b"", data)
        return f"{head.decode('ascii')} ({len(content):,} octets)".lstrip()
    text = data.decode("utf-8", "replace").rstrip("\r\n")
    if phase is not Phase.AUTH:
        return text
    command, *secret = text.rsplit(" ", 1) if text.upper().startswith("AUTH PLAIN ") else (text,)
    return f"{command} {MASK}" if secret else text if text.upper().startswith("AUTH ") else MASK


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")
