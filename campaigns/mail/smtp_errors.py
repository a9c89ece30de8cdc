"""What can go wrong with a connection to a mail server.

    SmtpError
    ├── ConnectionNotOpened       no session: not one byte of any message left
    │   ├── ServerUnreachable     nobody answers there, or not in time; temporary
    │   ├── ServiceRefused        the server refused us at the greeting or EHLO; temporary for 4xx, permanent for 5xx
    │   ├── TlsFailed             no TLS, a wrong certificate, or a wrong name; permanent unless the server said 4xx
    │   └── LoginFailed           user name or password refused, or no way to send them; permanent unless 4xx
    └── SessionLost               an open connection ended, went silent, or stopped speaking SMTP

Callers of `open_connection` see the four kinds of ConnectionNotOpened. SessionLost stays inside: sending turns it into
outcomes.
"""

from __future__ import annotations

from campaigns.mail.replies import Phase, Reason


class SmtpError(Exception):
    """Base of this tree. `code` and `enhanced` are 0 and empty when no answer came."""

    def __init__(self, phase: Phase, reason: Reason, text: str, *, code: int = 0, enhanced: str = "") -> None:
        super().__init__(f"{phase.value}: {f'{code} ' if code else ''}{text}")
        self.phase = phase
        self.reason = reason
        self.code = code
        self.enhanced = enhanced
        self.text = text


class ConnectionNotOpened(SmtpError):
    """`permanent`: trying again will not help until a person changes something."""

    permanent_without_answer = False

    @property
    def permanent(self) -> bool:
        return self.code >= 500 or (not 400 <= self.code < 500 and self.permanent_without_answer)


class ServerUnreachable(ConnectionNotOpened):
    pass


class ServiceRefused(ConnectionNotOpened):
    pass


class TlsFailed(ConnectionNotOpened):
    permanent_without_answer = True


class LoginFailed(ConnectionNotOpened):
    permanent_without_answer = True


class SessionLost(SmtpError):
    """`written`: how many bytes of the failed write the system had taken; 0 only when surely none."""

    written = 0
