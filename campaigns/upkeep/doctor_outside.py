"""The doctor looks at the site from outside: its public address, its certificate, and the mail servers."""

from __future__ import annotations

import socket
import ssl
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from campaigns.clock import utcnow
from campaigns.config import LOOPBACK_HOSTS, current_settings
from campaigns.findings import Finding, Level, bad, good, note, warn
from campaigns.mail.mail_servers import MailServer, servers
from campaigns.mail.smtp import ConnectionNotOpened
from campaigns.mail.smtp_errors import LoginFailed, TlsFailed
from campaigns.mail.transcript import Transcript, send_and_listen

ANSWER_SECONDS = 8.0
CERTIFICATE_DAYS = 14


def check_public_address() -> Iterator[Finding]:
    """Open the site as people do: links in mail lead there."""
    url = current_settings().public_base_url
    host = urlsplit(url).hostname or ""
    if host in LOOPBACK_HOSTS and current_settings().mail_leaves_machine:
        yield bad("public address", f"{url} leads nowhere on other machines", "Set PUBLIC_BASE_URL.")
    elif not current_settings().is_secure and host not in LOOPBACK_HOSTS:
        yield warn("public address", f"{url} is not protected", "Set up TLS, and PUBLIC_BASE_URL with https.")
    yield _open_site(url)
    if current_settings().is_secure:
        yield _check_certificate(host, urlsplit(url).port or 443)


def _open_site(url: str) -> Finding:
    # Not through a proxy of this machine's: people elsewhere do not come through it either.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/healthz", timeout=ANSWER_SECONDS) as response:
            is_ours = b'"status"' in response.read(200)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return bad("public address", f"{url} does not answer: {reason}", "Check the proxy, the firewall and the name.")
    if not is_ours:
        return bad("public address", f"something else answers at {url}", "Check the proxy, and PUBLIC_BASE_URL.")
    return good("public address", f"{url} answers")


def _check_certificate(host: str, port: int) -> Finding:
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            ends = str((secured.getpeercert() or {})["notAfter"])
    except (OSError, KeyError) as error:
        return bad("certificate", f"not accepted: {error}", "Get one that browsers trust, for exactly this name.")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    days = (until - utcnow()).days
    if days < CERTIFICATE_DAYS:
        return warn("certificate", f"ends in {days} days", "Renew it, and see why that did not happen by itself.")
    return good("certificate", f"valid for {days} days")


def check_mail_servers() -> Iterator[Finding]:
    """Speak with each mail server up to the point where it would take a mail; sends none."""
    if current_settings().trial_mode:
        yield note("mail server", "none: trial mode")
        return
    for server in servers(current_settings()):
        yield _speak_with(server)


def _speak_with(server: MailServer) -> Finding:
    where = f"mail server {server.settings.address}"
    heard = send_and_listen(server.settings)
    if error := heard.refusal:
        found = f"{error.reason}: {error.code or ''} {error.text}"
        return Finding(where, Level.BAD, found, _advice(error), _lines(heard))
    if not heard.is_protected and server.settings.host not in LOOPBACK_HOSTS:
        advice = "Choose STARTTLS or TLS for it in Settings, or set MAIL_USE_TLS=true."
        return Finding(where, Level.WARN, "takes our mail without protection", advice, _lines(heard))
    found = "is ready to take mail" + (", over TLS" if heard.is_protected else "")
    return Finding(where, Level.OK, found, lines=_lines(heard))


def _lines(heard: Transcript) -> tuple[str, ...]:
    marks = {"us": ">", "server": "<", "note": " "}
    return tuple(f"{line.at_ms:>6} ms {marks[line.speaker]} {line.text}" for step in heard.steps for line in step.lines)


def _advice(error: ConnectionNotOpened) -> str:
    if isinstance(error, LoginFailed):
        return "Check user name and password; some providers want a password made for programs."
    if isinstance(error, TlsFailed):
        return "Check host name, port and certificate; a private authority goes into MAIL_CA_FILE."
    return "Check host, port and firewall, and that the server takes mail from this machine."
