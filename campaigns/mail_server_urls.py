"""Mail servers written as addresses, read strictly: a typo would send a log-in to the wrong place, or mail nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

LOOPBACK_HOSTS: Final = {"localhost", "127.0.0.1", "::1", "[::1]"}
MOST_WEIGHT: Final = 1000
MOST_SERVERS: Final = 50

Tls = Literal["none", "starttls", "tls"]

HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+")
_PORTS: Final = {"smtp": 25, "smtps": 465}
_OPTIONS: Final = ("tls", "weight", "chunking")


@dataclass(frozen=True)
class MailServerUrl:
    """One mail server as a person wrote it. Of several, each gets mail in proportion to its weight."""

    host: str
    port: int
    tls: Tls = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    weight: int = 1
    chunking: bool = False  # BDAT instead of DATA where it is offered
    password_is_lost: bool = False  # stored, and not to be decrypted any more: nobody logs in there without it

    @property
    def name(self) -> str:
        """Return what this server is called in logs and on pages: host and port."""
        return f"{self.host}:{self.port}"


class WrongMailServer(ValueError):
    """What is wrong with one server's address; never with its password in it."""


def read_mail_servers(text: str) -> tuple[MailServerUrl, ...]:
    """Read servers parted by commas or line breaks, as `smtp://user:pass@host:587?tls=starttls&weight=3`.

    What has a meaning in an address stands percent-encoded in user name and password. Raises WrongMailServer for the
    first that is wrong, naming it by its place in the list and its host.
    """
    addresses = [address for address in re.split(r"[,\s]+", text) if address]
    servers: list[MailServerUrl] = []
    for number, address in enumerate(addresses, start=1):
        server = _read(address, number)
        if server.name in {other.name for other in servers}:
            raise WrongMailServer(f"server {number} ({server.name}) is there twice")
        servers.append(server)
    if len(servers) > MOST_SERVERS:
        raise WrongMailServer(f"expected at most {MOST_SERVERS} servers, got {len(servers)}")
    return tuple(servers)


def is_elsewhere(host: str, servers: Iterable[MailServerUrl]) -> bool:
    """Tell whether the one host, or any of several servers, is another machine."""
    return any(name and name not in LOOPBACK_HOSTS for name in (host, *(server.host for server in servers)))


def _read(address: str, number: int) -> MailServerUrl:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise WrongMailServer(f"server {number}: expected a port from 1 to 65535") from None
    if parts.scheme not in _PORTS:
        raise WrongMailServer(f"server {number}: expected an address starting with smtp:// or smtps://")
    host = parts.hostname or ""
    if not HOST_NAME.fullmatch(host):
        raise WrongMailServer(f"server {number}: expected a host name, as in smtp://relay.example.com:587")
    where = f"server {number} ({host})"
    if port == 0:
        raise WrongMailServer(f"{where}: expected a port from 1 to 65535")
    if parts.path not in ("", "/") or parts.fragment:
        raise WrongMailServer(f"{where}: expected nothing between the port and the options")
    options = _options(parts, where)
    server = MailServerUrl(
        host=host,
        port=port or _PORTS[parts.scheme],
        tls=_tls(parts.scheme, options.get("tls"), where),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        weight=_weight(options.get("weight", "1"), where),
        chunking=_chunking(options.get("chunking", "no"), where),
    )
    _check_login(server, where)
    return server


def _options(parts: SplitResult, where: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise WrongMailServer(f"{where}: expected options like ?tls=starttls&weight=3") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in _OPTIONS:
            raise WrongMailServer(f"{where}: expected the options {', '.join(_OPTIONS)} only, got {name!r}")
        if name in options:
            raise WrongMailServer(f"{where}: {name} is there twice")
        options[name] = value
    return options


def _tls(scheme: str, wish: str | None, where: str) -> Tls:
    if scheme == "smtps":
        if wish is not None:
            raise WrongMailServer(f"{where}: smtps:// is TLS from the first byte, expected no tls option")
        return "tls"
    if wish not in (None, "none", "starttls"):
        raise WrongMailServer(f"{where}: expected tls=starttls or tls=none, got {wish!r}")
    return "starttls" if wish == "starttls" else "none"


def _weight(text: str, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_WEIGHT:
        raise WrongMailServer(f"{where}: expected a weight from 1 to {MOST_WEIGHT}, got {text!r}")
    return int(text)


def _chunking(wish: str, where: str) -> bool:
    if wish not in ("yes", "no"):
        raise WrongMailServer(f"{where}: expected chunking=yes or chunking=no, got {wish!r}")
    return wish == "yes"


def _check_login(server: MailServerUrl, where: str) -> None:
    if bool(server.username) != bool(server.password):
        raise WrongMailServer(f"{where}: expected user name and password, or neither")
    if "\0" in server.username + server.password:
        raise WrongMailServer(f"{where}: a user name or password cannot contain NUL")
    if server.password and server.tls == "none" and server.host not in LOOPBACK_HOSTS:
        raise WrongMailServer(f"{where}: a password is not sent without TLS; expected tls=starttls, or smtps://")
