"""How one mail server is reached: address, security, log-in, and how long each step may take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from enum import StrEnum

_EHLO_NAME = re.compile(r"[A-Za-z0-9.-]{1,255}|\[[A-Fa-f0-9.:IPv]{2,80}\]")


class Security(StrEnum):
    """`starttls` and `tls` are promises: when TLS cannot be had, nothing is sent."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds per step. The defaults are what RFC 5321 §4.5.3.2 asks for, and also the most that is accepted.

    `final_dot` should stay long: giving up while the server is still storing the mail makes the outcome uncertain.
    """

    connect: float = 30
    greeting: float = 300
    command: float = 300
    data_start: float = 120
    data_block: float = 180
    final_dot: float = 600
    quit: float = 5

    def __post_init__(self) -> None:
        for limit in fields(self):
            seconds = getattr(self, limit.name)
            if not 0 < seconds <= limit.default:
                raise ValueError(f"{limit.name} must be more than 0 and at most {limit.default} seconds, not {seconds}")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One mail server. Raises ValueError for settings that contradict each other.

    `socket_path` (a Unix socket) replaces host and port. `ca_file` is trusted instead of the system's authorities.
    `allow_unencrypted_login` is needed to send a password without TLS to anything but this machine.
    `password_is_lost`: there was a password and it cannot be read any more; the log-in fails without being tried.
    `use_chunking`: BDAT instead of DATA where it is offered (RFC 3030). Nobody gets it unasked: it saves no round trip
    over pipelining, and some that offer it lose the mail or wait for more of it.
    `ehlo_name` empty means the address literal of our end of the connection (RFC 5321 §4.1.4).
    """

    host: str = "127.0.0.1"
    port: int = 25
    socket_path: str = ""
    security: Security = Security.NONE
    verify_certificate: bool = True
    ca_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    password_is_lost: bool = False
    allow_unencrypted_login: bool = False
    ehlo_name: str = ""
    use_pipelining: bool = True
    use_chunking: bool = False
    timeouts: Timeouts = Timeouts()

    def __post_init__(self) -> None:
        if not self.socket_path and not self.host:
            raise ValueError("a mail server needs a host or a socket path")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"a port is a number from 1 to 65535, not {self.port}")
        if self.ehlo_name and not _EHLO_NAME.fullmatch(self.ehlo_name):
            raise ValueError("ehlo_name must be a host name or an address literal in brackets")
        if self.socket_path and self.security is not Security.NONE:
            raise ValueError("TLS over a Unix socket has no host name to verify")
        if "\0" in self.username + self.password:
            raise ValueError("a user name or password cannot contain NUL")

    @property
    def address(self) -> str:
        return self.socket_path or f"{self.host}:{self.port}"
