"""What we ask of mail servers that offer it (RFC 3461): short bounces, soon, that say which mail they are about."""

from __future__ import annotations

import re

from campaigns.mail.addresses import WireAddress

MOST_ENVELOPE_ID = 100  # characters, before encoding (RFC 3461 §4.4)
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")


def return_parameters(envelope_id: str) -> str:
    """Return what follows MAIL: bounces carry the headers only, and this id if there is one (RFC 3461 §4.3, §4.4)."""
    return f" RET=HDRS ENVID={xtext(envelope_id[:MOST_ENVELOPE_ID])}" if envelope_id else " RET=HDRS"


def notify_parameters(recipient: WireAddress) -> str:
    """Return what follows RCPT: tell of failures and delays, and whom the mail was for before anybody forwarded it.

    An address beyond ASCII is left out: its form is not one that every server with DSN knows (RFC 6533 §3).
    """
    notify = " NOTIFY=FAILURE,DELAY"
    return notify if recipient.needs_smtputf8 else f"{notify} ORCPT=rfc822;{xtext(str(recipient))}"


def xtext(text: str) -> str:
    """Return text with all but printable ASCII, and + and =, as +XX (RFC 3461 §4). Raises UnicodeError beyond ASCII."""
    return _NOT_XTEXT.sub(lambda found: f"+{found[0].encode('ascii')[0]:02X}", text)
