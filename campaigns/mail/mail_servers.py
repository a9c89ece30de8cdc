"""The mail servers: which there are, which of them are well, and which takes the next connection.

A server that refuses us is left alone for a growing pause, in each process by itself; then one connection tries it
again. The others carry its share meanwhile. When none is well all are tried: refusing to try would lose the time in
which one of them may have come back.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flask import Flask

from campaigns.config import LOOPBACK_HOSTS, Settings
from campaigns.extensions import mail
from campaigns.flask_settings import mail_settings
from campaigns.mail.reply_counts import count_reply
from campaigns.mail.smtp import Connection, ConnectionNotOpened, Meaning, Outcome, OutcomeKind, open_connection
from campaigns.mail.smtp_settings import Security, ServerSettings, Timeouts
from campaigns.mail_server_urls import MailServerUrl

PAUSES_SECONDS = (5, 10, 20, 40, 80, 160, 300)  # the last repeats
PROBE_SECONDS = 60  # how long one connection has to prove that a server is well again, before another may try

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MailServer:
    """One mail server, and how much of the mail it gets in proportion to the others."""

    name: str
    weight: int
    settings: ServerSettings


def servers(settings: Settings) -> tuple[MailServer, ...]:
    """Return the mail servers that the settings name, never none; in trial mode the catcher on this machine."""
    if settings.trial_mode:
        catcher = str(settings.catcher_socket)
        return (_server(ServerSettings(socket_path=catcher, ehlo_name="localhost", timeouts=_timeouts(60))),)
    if settings.mail_servers:
        return tuple(_server(_settings_of(url, settings), url.weight) for url in settings.mail_servers)
    tls: dict[tuple[bool, bool], str] = {(True, False): "tls", (False, True): "starttls", (False, False): "none"}
    url = MailServerUrl(
        host=settings.mail_server,
        port=settings.mail_port,
        tls=tls[settings.mail_use_ssl, settings.mail_use_tls],  # type: ignore[arg-type]
        username=settings.mail_username,
        password=settings.mail_password,
        chunking=settings.mail_chunking,
    )
    return (_server(_settings_of(url, settings)),)


def concerns_us(outcome: Outcome) -> bool:
    """Tell whether a server's answer is about us or about itself, so that another server may take the same mail."""
    about_the_sender = outcome.meaning in {Meaning.SENDER_TEMPORARY, Meaning.SENDER_REFUSED}
    return about_the_sender or outcome.kind is OutcomeKind.NOT_HANDED_OVER


class ServerHealth:
    """What this process knows of each server's health. Safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ill: dict[str, _Illness] = {}
        self._lock = threading.Lock()

    def order(self, among: Collection[MailServer]) -> list[MailServer]:
        """Return the servers in the order in which they should be tried for one connection.

        First one whose pause is over and that nobody is trying, then those that are well, by weight and chance. The
        rest only when there is no other.
        """
        now = self._now()
        with self._lock:
            well = [server for server in among if server.name not in self._ill]
            ill = sorted((s for s in among if s.name in self._ill), key=lambda server: self._ill[server.name].until)
            probe = next((server for server in ill if self._ill[server.name].until <= now), None)
            if probe is not None:
                self._ill[probe.name].begin_probe(now)
        well.sort(key=lambda server: random.random() ** (1 / server.weight), reverse=True)
        first = [probe] if probe is not None else []
        return [*first, *well] if well else [*first, *(server for server in ill if server is not probe)]

    def note_refusal(self, name: str) -> None:
        """Remember that a server refused us; connections that fail together lengthen its pause once."""
        now = self._now()
        with self._lock:
            illness = self._ill.setdefault(name, _Illness())
            if now < illness.until and not illness.is_probed:
                return
            illness.refuse(now)
        logger.warning("mail server %s refuses us and is left alone for %s s", name, round(illness.until - now))

    def note_success(self, name: str) -> None:
        """Remember that a server has taken or judged a mail, so that it is well."""
        if name in self._ill:
            with self._lock:
                self._ill.pop(name, None)
            logger.info("mail server %s takes mail again", name)

    def is_well(self, name: str) -> bool:
        """Tell whether a server has not refused us since it last took a mail."""
        return name not in self._ill

    def forget(self) -> None:
        """Take every server for well, as at the start."""
        with self._lock:
            self._ill.clear()


@dataclass
class _Illness:
    refusals: int = 0
    until: float = 0.0
    is_probed: bool = False

    def begin_probe(self, now: float) -> None:
        self.is_probed, self.until = True, now + PROBE_SECONDS

    def refuse(self, now: float) -> None:
        pause_seconds = PAUSES_SECONDS[min(self.refusals, len(PAUSES_SECONDS) - 1)]
        self.refusals, self.until, self.is_probed = self.refusals + 1, now + pause_seconds, False


health = ServerHealth()


def follow_servers(app: Flask, before: Settings, after: Settings) -> None:
    """Hand changed mail servers on: Flask-Mail keeps its own copy, and what was ill may be another server now."""
    if before.mail_servers != after.mail_servers:
        app.config.update(mail_settings(after))
        mail.init_app(app)
        health.forget()


def connect_to_any(
    among: Sequence[MailServer], connect: Callable[[ServerSettings], Connection] = open_connection
) -> Connection:
    """Return a connection to one of the servers, of which there is at least one.

    Raises ConnectionNotOpened when none is to be had: what the most telling of them answered.
    """
    refusals: list[ConnectionNotOpened] = []
    for server in health.order(among):
        try:
            return connect(server.settings)
        except ConnectionNotOpened as refusal:
            health.note_refusal(server.name)
            count_reply(server.name, refusal)
            refusals.append(refusal)
    # A refused log-in wants a person; that another server cannot be reached may pass.
    raise max(refusals, key=lambda refusal: refusal.permanent)


def own_host_name() -> str:
    """Return this machine's full name if it has one; empty means the address literal (RFC 5321 §4.1.4)."""
    name = socket.gethostname()
    return name if "." in name and name.replace(".", "").replace("-", "").isalnum() else ""


def _server(settings: ServerSettings, weight: int = 1) -> MailServer:
    return MailServer(settings.address, weight, settings)


def _settings_of(url: MailServerUrl, settings: Settings) -> ServerSettings:
    return ServerSettings(
        host=url.host,
        port=url.port,
        security=Security(url.tls),
        verify_certificate=settings.mail_tls_verify,
        ca_file=str(settings.mail_ca_file or ""),
        username=url.username,
        password=url.password,
        password_is_lost=url.password_is_lost,
        allow_unencrypted_login=url.host in LOOPBACK_HOSTS,
        ehlo_name=settings.mail_ehlo_name or own_host_name(),
        use_chunking=url.chunking,
        timeouts=_timeouts(settings.mail_timeout_seconds),
    )


def _timeouts(seconds: int) -> Timeouts:
    # Only the final dot keeps the RFC's ten minutes: giving up earlier would make the outcome uncertain.
    limit = float(seconds)
    return Timeouts(
        connect=min(30, limit), greeting=min(300, limit), command=min(300, limit), data_start=min(120, limit),
        data_block=min(180, limit),
    )  # fmt: skip
