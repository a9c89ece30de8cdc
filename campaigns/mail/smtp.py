"""Our own SMTP client (RFC 5321): it knows in which step a connection was lost, which the standard library does not.

with open_connection(ServerSettings(host="relay.example.com", security=Security.STARTTLS)) as connection:
    for envelope, outcome in connection.send_all(envelopes):
        ...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from campaigns.mail.replies import Meaning, Phase, Reason
from campaigns.mail.smtp_chunking import ChunkedDialogue, dialogue_of
from campaigns.mail.smtp_dialogue import Event
from campaigns.mail.smtp_envelope import Envelope, Outcome, OutcomeKind
from campaigns.mail.smtp_errors import (
    ConnectionNotOpened,
    LoginFailed,
    ServerUnreachable,
    ServiceRefused,
    SessionLost,
    SmtpError,
    TlsFailed,
)
from campaigns.mail.smtp_many import talk_together
from campaigns.mail.smtp_session import Session, open_session
from campaigns.mail.smtp_settings import Security, ServerSettings, Timeouts
from campaigns.mail.smtp_source import Source

__all__ = [
    "Connection",
    "ConnectionNotOpened",
    "Envelope",
    "LoginFailed",
    "Meaning",
    "Outcome",
    "OutcomeKind",
    "Phase",
    "Reason",
    "Security",
    "ServerSettings",
    "ServerUnreachable",
    "ServiceRefused",
    "SmtpError",
    "Timeouts",
    "TlsFailed",
    "open_connection",
    "send_over",
]


def open_connection(server: ServerSettings) -> Connection:
    """A connection that may send at once.

    Raises a ConnectionNotOpened, which has `permanent`, `phase`, `reason`, `code` and the server's `text`.
    """
    return Connection(open_session(server))


def send_over(
    connections: Sequence[Connection],
    envelopes: Iterator[Envelope | None],
    handing_over: Callable[[Sequence[Envelope]], None],
    stop: Callable[[], bool] = lambda: False,
    *,
    most_each: int = sys.maxsize,
) -> Generator[tuple[Envelope, Outcome], None, None]:
    """Send over several connections from one thread, as `Connection.send_all` does over one; what differs is said here.

    Connections that join the sequence meanwhile are used from then on. Over each go at most `most_each` messages in its
    life, then it is closed. Each outcome comes when it is known, and after a lost connection the others go on: it ends
    when all have. `handing_over` is told of all contents that are about to leave together; when it raises none of them
    leaves, and on the other connections only what has left already is finished. Whoever may leave early closes it
    before anything else is done with the connections.
    """
    return talk_together(connections, Source(envelopes, stop), handing_over, most_each=most_each)


class Connection:
    """One open session with a mail server, for one thread at a time.

    `opened_at` is on `time.monotonic()`'s scale; `messages_sent` counts those whose content was handed over, accepted
    or not. With both the caller decides when to open a new one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dialogue = dialogue_of(session)
        self.server = session.settings
        self.opened_at = time.monotonic()

    def send(self, envelope: Envelope) -> Outcome:
        """Send one message. Never raises for what the server does or fails to do; check `is_open` afterwards."""
        ((_, outcome),) = self.send_all(iter([envelope]))
        return outcome

    def send_all(
        self,
        envelopes: Iterator[Envelope | None],
        handing_over: Callable[[Envelope], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Envelope, Outcome]]:
        """Send until the envelopes end, `stop()` says so, or the connection is lost; yield each outcome once known.

        Every envelope taken from the iterator is yielded exactly once, in the order taken. After a lost connection at
        most two had been taken: the one being sent, and the next, whose envelope travels ahead. Both are yielded (the
        second always as `not_handed_over`), the rest stay in the iterator, and `is_open` is False. The connection is
        not opened again here.

        `handing_over(envelope)` runs just before the first byte of that content may leave. When it raises, the content
        does not leave: the connection is closed, what was taken is yielded as `not_handed_over`, and the error goes on.
        An error of the iterator or of `stop` goes on after what is open has been settled.

        The iterator is asked for the next envelope while the server waits for the content of the last, so it should be
        quick. When it would have to wait, it should give None first: what is open is then finished before it is asked
        again. `stop()` is asked before each envelope is taken; up to two messages already begun are still finished.

        Take all that is yielded: leaving the loop early closes the connection and hides what was under way. Raises
        nothing for what the server does. On a closed connection it takes and yields nothing.
        """
        return send_over([self], envelopes, lambda leaving: handing_over(*leaving), stop)

    def talk(self, source: Source, *, most: int) -> Generator[Event, None, None]:
        """The steps of its dialogue, for `send_over`."""
        return self._dialogue.talk(source, most=max(0, most - self.messages_sent))

    def fileno(self) -> int:
        """The descriptor that the steps wait for."""
        return self._dialogue.fileno()

    @property
    def is_open(self) -> bool:
        """Whether the connection may be used again; a server may have closed it since, see `is_alive`."""
        return self._dialogue.usable

    @property
    def messages_sent(self) -> int:
        return self._dialogue.messages_sent

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.opened_at

    @property
    def size_limit(self) -> int:
        """The largest message in octets this server takes, 0 when it did not say."""
        return self._session.size_limit

    @property
    def pipelining(self) -> bool:
        return self._dialogue.pipelining

    @property
    def chunking(self) -> bool:
        """Whether content leaves with BDAT (RFC 3030)."""
        return isinstance(self._dialogue, ChunkedDialogue)

    @property
    def encrypted(self) -> bool:
        return self._session.wire.encrypted

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and the server has said nothing unasked, not even goodbye; costs no round trip."""
        return self.is_open and self._session.wire.is_quiet

    def is_alive(self) -> bool:
        """Ask the server with NOOP (one round trip); closes the connection when it does not answer well."""
        if self.is_open:
            try:
                self._session.wire.write(b"NOOP\r\n", Phase.MAIL, self.server.timeouts.quit)
                if self._session.wire.read_reply(Phase.MAIL, self.server.timeouts.quit).positive:
                    return True
            except SessionLost:
                pass
            self.abort()
        return False

    def close(self) -> None:
        """Say QUIT, wait a little for the answer, and close; never raises. Harmless to repeat."""
        if self.is_open:
            with suppress(SessionLost):
                self._session.wire.write(b"QUIT\r\n", Phase.MAIL, self.server.timeouts.quit)
                self._session.wire.read_reply(Phase.MAIL, self.server.timeouts.quit)
        self.abort()

    def abort(self) -> None:
        """Close at once, without QUIT."""
        self._dialogue.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
