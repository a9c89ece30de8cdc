"""Connections to the mail servers, kept between batches and renewed before they grow old."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import ceil

from campaigns.config import Settings
from campaigns.delivery.scarcity import is_scarce, note_scarcity
from campaigns.mail.mail_servers import connect_to_any, servers
from campaigns.mail.smtp import Connection, ConnectionNotOpened, ServerSettings, open_connection

MAX_AGE_SECONDS = 600
MAX_IDLE_SECONDS = 300  # after which a server may have given up (RFC 5321 §4.5.3.2.7)
MAX_IDLE_KEPT = 256  # of one server; more than any process uses at once
TRUSTED_SECONDS = 5.0  # one that was in use so short a time ago and is quiet is not asked whether it is alive
MAILS_PER_CONNECTION = 10  # for fewer, another connection costs more than it saves
NO_MORE_SECONDS = 60.0  # how long a server is left alone that has refused one more connection

logger = logging.getLogger(__name__)


class ConnectionPool:
    """Idle connections of this process. Each is used by one thread at a time; a broken one is not kept."""

    def __init__(self) -> None:
        self._idle: list[tuple[Connection, float]] = []  # with when it was given back
        self._lost_at: dict[ServerSettings, float] = {}
        self._refused_more: dict[ServerSettings, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def bundle(self, settings: Settings, *, without: Collection[str] = ()) -> Iterator[Bundle]:
        """Lend connections to one of the servers, by weight and health; `without` names those not to be tried.

        Raises ConnectionNotOpened when none of the others is to be had. At least one must be left.
        """
        known = servers(settings)
        self._part_from_useless({server.settings for server in known}, settings)
        left = [server for server in known if server.name not in without]
        first = connect_to_any(left, lambda server: self._connect_first(server, settings))
        bundle = Bundle(self, first, settings)
        try:
            yield bundle
        finally:
            for connection in bundle.end():
                self.give_back(connection, settings)

    def connect(self, server: ServerSettings) -> Connection:
        """Return an idle connection or a new one. Raises ConnectionNotOpened."""
        if trusted := self.take_trusted(server):
            return trusted
        while idle := self._take(server, since=0.0):
            if idle.is_alive():
                return idle
        return open_connection(server)

    def _connect_first(self, server: ServerSettings, settings: Settings) -> Connection:
        try:
            return self.connect(server)
        except ConnectionNotOpened as refusal:
            if 400 <= refusal.code < 500:
                note_scarcity(settings.journal_dir, server)
            raise

    def take_trusted(self, server: ServerSettings) -> Connection | None:
        """Return a connection that was in use a moment ago and whose server seems to be there still, if there is one.

        Once one was lost, those that lay idle then are not trusted: a server that has closed them all refuses nobody.
        """
        since = max(time.monotonic() - TRUSTED_SECONDS, self._lost_at.get(server, 0.0))
        while idle := self._take(server, since=since):
            if idle.is_quiet:
                return idle
            idle.abort()
        return None

    def give_back(self, connection: Connection, settings: Settings) -> None:
        """Keep a connection for whoever is next, or say goodbye on it."""
        most = _most_idle(connection.server, settings)
        with self._lock:
            alike = sum(idle.server == connection.server for idle, _ in self._idle)
            keep = connection.is_open and _is_fresh(connection, settings) and alike < most
            if keep:
                self._idle.append((connection, time.monotonic()))
            elif not connection.is_open:
                self._lost_at[connection.server] = time.monotonic()
        if not keep:
            connection.close()

    def gives_more(self, server: ServerSettings) -> bool:
        """Tell whether a server may be asked for one more connection: it has not refused that lately."""
        return time.monotonic() >= self._refused_more.get(server, 0.0)

    def note_refused_more(self, server: ServerSettings) -> None:
        """Remember that a server has refused one more connection."""
        self._refused_more[server] = time.monotonic() + NO_MORE_SECONDS

    def close_idle(self) -> None:
        """Say goodbye on every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _part_from_useless(self, known: Collection[ServerSettings], settings: Settings) -> None:
        """Close idle connections that are not to be used any more, or whose server the settings do not name."""
        earliest = time.monotonic() - MAX_IDLE_SECONDS
        most = {server: _most_idle(server, settings) for server in known}
        with self._lock:
            kept: list[tuple[Connection, float]] = []
            for server in known:
                alike = [each for each in self._idle if each[0].server == server and each[1] >= earliest]
                kept += [each for each in alike if _is_fresh(each[0], settings)][-most[server] :]
            useless = [each for each in self._idle if each not in kept]
            self._idle = kept
        for connection, given_back_at in useless:
            if given_back_at >= earliest:
                connection.close()
            else:
                connection.abort()  # nobody may be there to answer, so nobody waits for that

    def _take(self, server: ServerSettings, *, since: float) -> Connection | None:
        """Take the connection that was used last among those given back since then."""
        with self._lock:
            for place in range(len(self._idle) - 1, -1, -1):
                connection, given_back_at = self._idle[place]
                if connection.server == server and given_back_at >= since:
                    return self._idle.pop(place)[0]
        return None


def _most_idle(server: ServerSettings, settings: Settings) -> int:
    return 1 if is_scarce(settings.journal_dir, server) else MAX_IDLE_KEPT


def _is_fresh(connection: Connection, settings: Settings) -> bool:
    return connection.messages_sent < settings.mail_max_emails and connection.age_seconds < MAX_AGE_SECONDS


class Bundle:
    """The connections that one run uses at once, all to one server. It begins with one and is widened as needed."""

    def __init__(self, pool: ConnectionPool, first: Connection, settings: Settings) -> None:
        self.server = first.server
        self.connections = [first]  # grows while it is in use, also from threads that open them
        self._pool = pool
        self._settings = settings
        self._opening = 0
        self._ended = False
        self._lock = threading.Lock()

    def widen(self, mails: int) -> None:
        """Get connections for so many mails, up to BULK_CONNECTIONS; those that have to be opened join when they are.

        Nobody waits for them. A server that does not want more of them is asked again after a minute; that says nothing
        of those it has taken. Where places are scarce (scarcity.py) one has to do.
        """
        settings = self._settings
        if is_scarce(settings.journal_dir, self.server):
            return
        wanted = min(settings.bulk_connections, ceil(mails / MAILS_PER_CONNECTION))
        with self._lock:
            usable = sum(each.is_open and each.messages_sent < settings.mail_max_emails for each in self.connections)
            missing = wanted - usable - self._opening
            while missing > 0 and (trusted := self._pool.take_trusted(self.server)):
                self.connections.append(trusted)
                missing -= 1
            missing = max(0, missing) if self._pool.gives_more(self.server) else 0
            self._opening += missing
        for _ in range(missing):
            self._begin_opening()

    def end(self) -> list[Connection]:
        """Return all connections; those still being opened go to the pool."""
        with self._lock:
            self._ended = True
            return self.connections

    def _begin_opening(self) -> None:
        try:
            threading.Thread(target=self._open_one, daemon=True, name="open-connection").start()
        except RuntimeError as error:  # the system gives this process no more threads: those that are open have to do
            self._pool.note_refused_more(self.server)
            logger.warning("no further connection can be opened: %s", error)
            with self._lock:
                self._opening -= 1

    def _open_one(self) -> None:
        try:
            self._take_in(self._pool.connect(self.server))
        except ConnectionNotOpened as refusal:
            self._pool.note_refused_more(self.server)
            logger.info("%s does not take one more connection: %s", self.server.address, refusal)
        finally:
            with self._lock:
                self._opening -= 1

    def _take_in(self, connection: Connection) -> None:
        with self._lock:
            if not self._ended:
                self.connections.append(connection)
                return
        self._pool.give_back(connection, self._settings)
