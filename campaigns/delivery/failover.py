"""Which mail servers have refused one run, and when none is left that may take its mail."""

from __future__ import annotations

from collections import Counter

from campaigns.config import Settings
from campaigns.mail.mail_servers import health, servers
from campaigns.mail.smtp import Outcome, ServerSettings

FRUITLESS_TRIES = 2  # how often in a row all connections take nothing, before a server counts as refusing us


class ServersTried:
    """The servers as one run meets them; used by one thread. `refusing` are the names of those not to try again."""

    def __init__(self, settings: Settings) -> None:
        self.current = ""  # the server in use
        self.refusing: set[str] = set()
        self.refused_sender: Outcome | None = None  # what the last server that refused the sender said
        self.taken: Counter[str] = Counter()  # mails that each server has taken or judged
        self.is_gone = False  # the settings name the server in use no more, or reach it in another way
        self.label = ""  # the name of the server in use where there are several, else nothing
        self._using: ServerSettings | None = None
        self._known: set[ServerSettings] = set()
        self.follow(settings)
        self._fruitless: Counter[str] = Counter()
        self._taken_before = 0

    def follow(self, settings: Settings) -> None:
        """Take over which servers there are; one that is reached in another way now may be tried again."""
        named = {server.settings for server in servers(settings)}
        self.refusing &= {server.address for server in named & self._known}
        self._known = named
        self._names = {server.address for server in named}
        self._look_at_server_in_use()

    def begin(self, server: ServerSettings) -> None:
        """Note that connections to this server are in use now."""
        self._using = server
        self.current = server.address
        self._look_at_server_in_use()
        self._taken_before = self.taken[self.current]

    @property
    def is_probing(self) -> bool:
        """Whether the server in use has refused this process and taken nothing since."""
        return not health.is_well(self.current)

    def note_taken(self) -> None:
        """Note that the server has taken or judged a mail."""
        self.taken[self.current] += 1
        health.note_success(self.current)

    def is_one_left(self, refused_sender: Outcome | None) -> bool:
        """Judge the server whose connections have ended; tells whether there is one to go on with."""
        if refused_sender is None and self.taken[self.current] > self._taken_before:
            self._fruitless[self.current] = 0
            return True
        self._fruitless[self.current] += 1
        if refused_sender is None and self._fruitless[self.current] < FRUITLESS_TRIES:
            return True
        health.note_refusal(self.current)
        self.refusing.add(self.current)
        self.refused_sender = refused_sender or self.refused_sender
        return bool(self._names - self.refusing)

    def _look_at_server_in_use(self) -> None:
        self.is_gone = self._using is not None and self._using not in self._known
        self.label = self.current if len(self._names) > 1 else ""
