"""Connections to the mail servers, kept between batches and renewed before they grow old."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from campaigns.config import Settings
from campaigns.mail.mail_servers import connect_to_any, servers
from campaigns.mail.smtp import Connection, ServerSettings, open_connection

MAX_AGE_SECONDS = 600
MAX_IDLE_KEPT = 256  # more than the threads of any process


class ConnectionPool:
    """Idle connections of this process. Each is used by one thread at a time; a broken one is not kept."""

    def __init__(self) -> None:
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def connection(self, settings: Settings, *, without: Collection[str] = ()) -> Iterator[Connection]:
        """Lend a connection to one of the servers, by weight and health; `without` names those not to be tried.

        Raises ConnectionNotOpened when none of the others is to be had. At least one must be left.
        """
        known = servers(settings)
        self._part_from_others({server.settings for server in known})
        left = [server for server in known if server.name not in without]
        connection = connect_to_any(left, self._connect)
        try:
            yield connection
        finally:
            self._give_back(connection, settings)

    def close_idle(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection:
                connection.close()

    def _part_from_others(self, known: Collection[ServerSettings]) -> None:
        """Say goodbye on idle connections to servers that the settings do not name any more."""
        with self._lock:
            others = [idle for idle in self._idle if idle.server not in known]
            self._idle = [idle for idle in self._idle if idle.server in known]
        for connection in others:
            connection.close()

    def _connect(self, server: ServerSettings) -> Connection:
        return self._take(server) or open_connection(server)

    def _take(self, server: ServerSettings) -> Connection | None:
        while True:
            with self._lock:
                place = next((n for n, idle in enumerate(self._idle) if idle.server == server), None)
                if place is None:
                    return None
                connection = self._idle.pop(place)
            if connection.is_alive():
                return connection
            connection.close()

    def _give_back(self, connection: Connection, settings: Settings) -> None:
        is_fresh = connection.messages_sent < settings.mail_max_emails and connection.age_seconds < MAX_AGE_SECONDS
        with self._lock:
            keep = connection.is_open and is_fresh and len(self._idle) < MAX_IDLE_KEPT
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
