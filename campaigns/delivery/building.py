"""Mails are built a few ahead: a processor that goes on with one kind of work is faster at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from campaigns.clock import utcnow
from campaigns.delivery.claims import Recipient, Settlement
from campaigns.delivery.message import CampaignMessage
from campaigns.delivery.models import DeliveryState
from campaigns.mail.addresses import AddressError
from campaigns.mail.headers import HeaderError
from campaigns.mail.mime import date_header
from campaigns.mail.smtp import Reason

MAILS_AHEAD = 25
OCTETS_AHEAD = 250_000  # large mails are fewer at once, for they are held in memory until their turn

Built = bytes | AddressError | HeaderError


def build_ahead(message: CampaignMessage, recipients: Iterable[Recipient]) -> Iterator[tuple[Recipient, Built]]:
    """Yield each recipient's mail as it goes over the wire, or why it cannot be built; all have the date of now."""
    date_line = date_header(utcnow())
    ahead: list[tuple[Recipient, Built]] = []
    octets = 0
    for recipient in recipients:
        built = _build(message, recipient, date_line)
        ahead.append((recipient, built))
        octets += len(built) if isinstance(built, bytes) else 0
        if len(ahead) == MAILS_AHEAD or octets >= OCTETS_AHEAD:
            yield from ahead
            ahead, octets = [], 0
    yield from ahead


def settlement_of_unbuildable(recipient: Recipient, error: AddressError | HeaderError) -> Settlement:
    """Return what to write down for somebody whose mail cannot be built; no server was asked."""
    reason = Reason.BAD_ADDRESS if isinstance(error, AddressError) else Reason.TOO_BIG
    return Settlement(recipient.position, DeliveryState.FAILED, reason, str(error), counts_as_attempt=False)


def _build(message: CampaignMessage, recipient: Recipient, date_line: bytes) -> Built:
    try:
        return message.build_wire(recipient, date_line=date_line)
    except (AddressError, HeaderError) as error:
        return error
