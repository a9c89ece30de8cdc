"""Flask-Mail over our own SMTP client: its configuration names and messages, with verified TLS, timeouts and outcomes.

Flask-Mail alone checks no certificate, waits for ever, forgets partial refusals and writes raw 8-bit lines. Its
`Message` and `Connection` stay the interface; what goes over the wire is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType

import flask_mail
from flask import current_app

from campaigns.config import current_settings
from campaigns.mail.headers import Mailbox
from campaigns.mail.mail_servers import concerns_us, connect_to_any, health, servers
from campaigns.mail.mime import build_message
from campaigns.mail.reply_counts import count_reply
from campaigns.mail.smtp import ConnectionNotOpened, Envelope, Outcome, OutcomeKind

ENVELOPE_ID = "ENVID="

logger = logging.getLogger(__name__)


class MailNotSent(Exception):
    """The server did not take the mail; `outcome` says what it answered and what that means."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.kind}: {outcome.code} {outcome.text}")
        self.outcome = outcome


class Message(flask_mail.Message):
    """A Flask-Mail message to one recipient, written by our own header and body encoders.

    `sender_name` stands beside the sender's address; it is kept apart because Flask-Mail would encode it its own way.
    """

    sender_name: str = ""

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire; raises HeaderError or AddressError for what no header may hold."""
        (recipient,) = self.send_to
        return build_message(
            sender=Mailbox(str(self.sender), self.sender_name),
            recipient=Mailbox(str(recipient)),
            subject=self.subject,
            text=self.body or "",
            html=self.html,
            message_id=self.msgId,
            date=datetime.fromtimestamp(self.date or 0.0, UTC),
            reply_to=Mailbox(str(self.reply_to)) if self.reply_to else None,
            headers=(self.extra_headers or {}).items(),
        )


class Connection(flask_mail.Connection):
    """A Flask-Mail connection whose host is our SMTP client."""

    def configure_host(self) -> _Host:  # type: ignore[override]
        """Open the connection. Raises ConnectionNotOpened when no server can be reached or all refuse us."""
        return _Host()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye; a failing goodbye never hides the error that ended the block."""
        if self.host is not None:
            self.host.quit()


def connect() -> Connection:
    """Return a connection to one of the mail servers, to be used in a `with` block."""
    return Connection(current_app.extensions["mail"])


class _Host:
    """What Flask-Mail expects of smtplib, on top of our client; another server takes over from one that refuses us."""

    def __init__(self) -> None:
        self._left = list(servers(current_settings()))
        self._connection = connect_to_any(self._left)

    def sendmail(
        self, sender: str, recipients: Sequence[str], content: bytes, mail_options: Sequence[str] = (), *_: object
    ) -> None:
        """Send to each recipient in an envelope of its own. Raises MailNotSent for the first that is not taken.

        Of Flask-Mail's options for MAIL only ENVID=… is heeded; the others follow from what the server offers.
        """
        envelope_id = next((each[len(ENVELOPE_ID) :] for each in mail_options if each.startswith(ENVELOPE_ID)), "")
        for number, recipient in enumerate(recipients):
            outcome = self._send(Envelope(sender, recipient, content, number, envelope_id=envelope_id))
            if outcome.kind is not OutcomeKind.SENT:
                raise MailNotSent(outcome)

    def quit(self) -> None:
        """End the session."""
        self._connection.close()

    def _send(self, envelope: Envelope) -> Outcome:
        while True:
            outcome = self._connection.send(envelope)
            name = self._connection.server.address
            count_reply(name, outcome)
            if not concerns_us(outcome):
                health.note_success(name)
                logger.debug("a mail was handed to %s: %s", name, outcome.kind)
                return outcome
            if not self._is_another_there(name):
                return outcome

    def _is_another_there(self, refusing: str) -> bool:
        health.note_refusal(refusing)
        self._connection.close()
        self._left = [server for server in self._left if server.name != refusing]
        try:
            self._connection = connect_to_any(self._left) if self._left else self._connection
        except ConnectionNotOpened as error:
            logger.warning("no other mail server takes over from %s: %s", refusing, error)
            return False
        return bool(self._left)
