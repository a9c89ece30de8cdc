"""From nothing to a session that may send: connect, greeting, EHLO, TLS, log-in."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from campaigns.mail.replies import Phase, Reason, judge
from campaigns.mail.smtp_errors import (
    ConnectionNotOpened,
    LoginFailed,
    ServerUnreachable,
    ServiceRefused,
    SessionLost,
    TlsFailed,
)
from campaigns.mail.smtp_settings import Security, ServerSettings
from campaigns.mail.smtp_wire import Reply, Wire


@dataclass(frozen=True)
class Session:
    """A logged-in session and what the server offered in it (by EHLO after TLS; earlier offers do not count)."""

    wire: Wire
    settings: ServerSettings
    offers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def size_limit(self) -> int:
        """The largest message in octets the server takes (RFC 1870); 0 when it did not say."""
        limit = self.offers.get("SIZE", "")
        return int(limit) if limit.isascii() and limit.isdigit() else 0


def open_session(settings: ServerSettings, make_wire: Callable[[socket.socket], Wire] = Wire) -> Session:
    """A session ready for MAIL. Raises ServerUnreachable, ServiceRefused, TlsFailed or LoginFailed.

    `make_wire` may give a wire that listens along.
    """
    _check_tls(settings)
    wire = make_wire(_connect(settings))
    try:
        return _introduce(wire, settings)
    except SessionLost as error:
        wire.close()
        raise ServerUnreachable(error.phase, error.reason, error.text) from error
    except (ServiceRefused, LoginFailed):
        with suppress(SessionLost):
            wire.write(b"QUIT\r\n", Phase.EHLO, 1)
        wire.close()
        raise
    except BaseException:
        wire.close()
        raise


def _check_tls(settings: ServerSettings) -> None:
    """Find a bad CA file before anybody is called."""
    if settings.security is Security.NONE:
        return
    try:
        _tls_context(settings.ca_file, verify=settings.verify_certificate)
    except OSError as error:
        text = f"the CA file {settings.ca_file} cannot be used: {error.strerror or error}"
        raise TlsFailed(Phase.CONNECT, Reason.TLS_FAILED, text) from error


def _introduce(wire: Wire, settings: ServerSettings) -> Session:
    if settings.security is Security.TLS:
        _secure(wire, settings)
    greeting = wire.read_reply(Phase.GREETING, settings.timeouts.greeting)
    if greeting.code != 220:
        raise _refused(ServiceRefused, Phase.GREETING, greeting)
    offers = _greet(wire, settings)
    if settings.security is Security.STARTTLS:
        _start_tls(wire, settings, offers)
        offers = _greet(wire, settings)
    if settings.username:
        _log_in(wire, settings, offers)
    return Session(wire, settings, offers)


def _connect(settings: ServerSettings) -> socket.socket:
    try:
        if settings.socket_path:
            return _connect_unix(settings)
        sock = socket.create_connection((settings.host, settings.port), settings.timeouts.connect)
        # Each of our writes is complete; waiting for more to put into a packet would only cost time.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    except TimeoutError as error:
        raise ServerUnreachable(Phase.CONNECT, Reason.TIMEOUT, f"{settings.address} did not answer in time") from error
    except (OSError, UnicodeError) as error:
        text = f"{settings.address}: {getattr(error, 'strerror', None) or error}"
        raise ServerUnreachable(Phase.CONNECT, Reason.RELAY_UNREACHABLE, text) from error


def _connect_unix(settings: ServerSettings) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(settings.timeouts.connect)
        sock.connect(settings.socket_path)
    except OSError:
        sock.close()
        raise
    return sock


def _greet(wire: Wire, settings: ServerSettings) -> dict[str, str]:
    """Say EHLO and return the offers; HELO, and none, for a server that does not know EHLO (RFC 5321 §3.2)."""
    name = settings.ehlo_name or _own_literal(wire)
    reply = _ask(wire, settings, f"EHLO {name}", Phase.EHLO)
    if reply.positive:
        offers = (line.partition(" ") for line in reply.text.split("\n")[1:])
        return {keyword.upper(): parameters for keyword, _, parameters in offers}
    if reply.code in (500, 501, 502, 504):
        reply = _ask(wire, settings, f"HELO {name}", Phase.EHLO)
        if reply.positive:
            return {}
    raise _refused(ServiceRefused, Phase.EHLO, reply)


def _own_literal(wire: Wire) -> str:
    host = wire.local_host.partition("%")[0]
    if not host:
        return "localhost"
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _start_tls(wire: Wire, settings: ServerSettings, offers: dict[str, str]) -> None:
    if "STARTTLS" not in offers:
        raise TlsFailed(Phase.STARTTLS, Reason.TLS_UNAVAILABLE, "the server does not offer STARTTLS")
    reply = _ask(wire, settings, "STARTTLS", Phase.STARTTLS)
    if reply.code != 220:
        raise _refused(TlsFailed, Phase.STARTTLS, reply)
    _secure(wire, settings)


def _secure(wire: Wire, settings: ServerSettings) -> None:
    context = _tls_context(settings.ca_file, verify=settings.verify_certificate)
    try:
        wire.start_tls(context, settings.host, settings.timeouts.connect)
    except ssl.SSLCertVerificationError as error:
        raise TlsFailed(Phase.STARTTLS, Reason.CERTIFICATE_REFUSED, error.verify_message) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        text = "the server closed the connection during the TLS handshake"
        raise ServerUnreachable(Phase.STARTTLS, Reason.CONNECTION_LOST, text) from error
    except ssl.SSLError as error:
        raise TlsFailed(Phase.STARTTLS, Reason.TLS_FAILED, error.reason or str(error)) from error
    except TimeoutError as error:
        raise ServerUnreachable(Phase.STARTTLS, Reason.TIMEOUT, str(error)) from error
    except OSError as error:
        raise ServerUnreachable(Phase.STARTTLS, Reason.CONNECTION_LOST, error.strerror or str(error)) from error


@lru_cache(maxsize=32)
def _tls_context(ca_file: str, *, verify: bool) -> ssl.SSLContext:
    """Chain and host name verified, TLS 1.2 or later (RFC 9325), unless a person switched verification off."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _log_in(wire: Wire, settings: ServerSettings, offers: dict[str, str]) -> None:
    """AUTH PLAIN (RFC 4616) or LOGIN. The password leaves only over TLS, to this machine, or when allowed expressly."""
    if not (wire.encrypted or settings.allow_unencrypted_login or _is_this_machine(wire)):
        raise LoginFailed(Phase.AUTH, Reason.TLS_REQUIRED, "a password is not sent without TLS")
    if settings.password_is_lost:
        raise LoginFailed(Phase.AUTH, Reason.AUTH_UNAVAILABLE, "the stored password cannot be decrypted any more")
    mechanisms = offers.get("AUTH", "").upper().split()
    if "PLAIN" in mechanisms:
        secret = _base64(f"\0{settings.username}\0{settings.password}")
        reply = _ask(wire, settings, f"AUTH PLAIN {secret}", Phase.AUTH)
    elif "LOGIN" in mechanisms:
        reply = _log_in_by_questions(wire, settings)
    else:
        raise LoginFailed(Phase.AUTH, Reason.AUTH_UNAVAILABLE, "the server offers neither AUTH PLAIN nor AUTH LOGIN")
    if reply.code != 235:
        raise _refused(LoginFailed, Phase.AUTH, reply)


def _log_in_by_questions(wire: Wire, settings: ServerSettings) -> Reply:
    reply = _ask(wire, settings, "AUTH LOGIN", Phase.AUTH)
    for answer in (settings.username, settings.password):
        if reply.code != 334:
            return reply
        reply = _ask(wire, settings, _base64(answer), Phase.AUTH)
    return reply


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _is_this_machine(wire: Wire) -> bool:
    host = wire.peer_host.partition("%")[0]
    return not host or ipaddress.ip_address(host).is_loopback


def _ask(wire: Wire, settings: ServerSettings, command: str, phase: Phase) -> Reply:
    wire.write(f"{command}\r\n".encode(), phase, settings.timeouts.command)
    return wire.read_reply(phase, settings.timeouts.command)


def _refused(kind: type[ConnectionNotOpened], phase: Phase, reply: Reply) -> ConnectionNotOpened:
    reason = judge(phase, reply.code, reply.enhanced, reply.text).reason
    if reason is Reason.ACCEPTED:
        reason = Reason.PROTOCOL_ERROR  # a yes to something else than what was asked
    return kind(phase, reason, reply.text, code=reply.code, enhanced=reply.enhanced)
