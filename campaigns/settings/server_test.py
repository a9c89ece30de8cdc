"""A test mail to whoever asks for it, over one server, with all that is said on the way."""

from __future__ import annotations

import secrets

from flask_babel import get_locale

from campaigns.clock import utcnow
from campaigns.mail.headers import Mailbox
from campaigns.mail.mail_servers import MailServer
from campaigns.mail.mime import build_message
from campaigns.mail.services import TRANSACTIONAL_HEADERS
from campaigns.mail.single import render_single_mail
from campaigns.mail.smtp import Envelope
from campaigns.mail.transcript import Transcript, send_and_listen
from campaigns.site import current_site, default_sender


def send_test_mail(server: MailServer, *, to_address: str) -> Transcript:
    """Send a test mail over one server, and return what was said; takes up to about a minute.

    It bypasses the outbox, for somebody waits to see why it fails. Raises nothing for what the server does,
    AddressError or HeaderError for a sender that no mail can have.
    """
    name, sender = default_sender()
    content = render_single_mail("settings/test_mail", server=server.name, language=str(get_locale()))
    raw = build_message(
        sender=Mailbox(sender, name),
        recipient=Mailbox(to_address),
        subject=content.subject,
        text=content.text,
        html=content.html,
        message_id=f"<{secrets.token_hex(16)}@{sender.rpartition('@')[2]}>",
        date=utcnow(),
        reply_to=Mailbox(current_site().reply_to) if current_site().reply_to else None,
        headers=TRANSACTIONAL_HEADERS.items(),
    )
    return send_and_listen(server.settings, Envelope(sender, to_address, raw, 0))
