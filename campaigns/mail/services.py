"""Single mails: put in the outbox with what causes them, then sent by one task, once or again until they expire.

Unlike an announcement, a verification or reset mail whose answer was lost is sent again: it carries the same
Message-ID and the same link, so a second copy does no harm (RFC 1047 leaves no third way).
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import force_locale
from flask_mail import BadHeaderError
from sqlalchemy import and_, or_, select, update

from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.mail.addresses import AddressError
from campaigns.mail.day_count import count_single_mail
from campaigns.mail.domain_groups import domain_group
from campaigns.mail.headers import HeaderError
from campaigns.mail.kinds import MailContent, render
from campaigns.mail.mime import message_id
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.smtp import OutcomeKind
from campaigns.mail.smtp_errors import ConnectionNotOpened
from campaigns.mail.transport import ENVELOPE_ID, MailNotSent, Message, connect
from campaigns.metrics import count_mails
from campaigns.site import current_site, default_sender

# Someone waits for this mail: soon at first, then with growing pauses (RFC 5321 §4.5.4.1 speaks of queues, not of us).
RETRY_AFTER_SECONDS = (5, 15, 60, 300, 900)
LEASE = timedelta(minutes=15)  # longer than the longest wait for one reply
SWEEP_GRACE = timedelta(seconds=15)  # what is younger is still on its way through the queue
SWEEP_LIMIT = 500

TRANSACTIONAL_HEADERS = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}  # RFC 3834 §5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """What became of one attempt; `retry_in_seconds` is set when another should follow."""

    state: OutboxState
    retry_in_seconds: int | None = None


def queue_mail(
    *,
    kind: str,
    to_address: str,
    language: str,
    expires_at: datetime,
    context: dict[str, Any] | None = None,
    group_key: str | None = None,
    send_after: datetime | None = None,
) -> OutboxMail:
    """Add a mail to the outbox within the caller's transaction and return its row, with its id.

    Commits nothing. `context` holds ids, never texts or secrets. After the commit the edge starts `send_mail`; should
    that be lost, the sweep finds the row.
    """
    mail = OutboxMail(
        kind=kind,
        to_address=to_address,
        language=language,
        context=context or {},
        expires_at=expires_at,
        group_key=group_key,
        next_attempt_at=send_after or utcnow(),
    )
    db.session.add(mail)
    db.session.flush()
    return mail


def deliver_mail(mail_id: int) -> Delivered | None:
    """Send one mail of the outbox and record what became of it.

    Returns None when there is nothing to do: sent already, not due, or in another worker's hands. Commits the claim
    before the first byte leaves, and the outcome after. Harmless to repeat.
    """
    token = _claim(mail_id)
    if token is None:
        return None
    mail = db.session.get_one(OutboxMail, mail_id)
    group = domain_group(mail.to_address)
    content = _content(mail)
    if content is None:
        return _counted(_settle(mail_id, token, OutboxState.EXPIRED), group)
    message = _message(mail, content)
    attempts = mail.attempts
    # The connection to the mail server may take minutes; no transaction stays open meanwhile.
    db.session.commit()
    return _counted(_send(mail_id, token, message, attempts), group)


def due_mails(limit: int = SWEEP_LIMIT) -> list[int]:
    """Return ids of mails whose time has come and which nobody is sending: what the queue forgot, or retries."""
    now = utcnow()
    waiting = and_(OutboxMail.state == OutboxState.WAITING, OutboxMail.next_attempt_at <= now - SWEEP_GRACE)
    abandoned = and_(OutboxMail.state == OutboxState.SENDING, OutboxMail.lease_until < now)
    query = select(OutboxMail.id).where(or_(waiting, abandoned)).order_by(OutboxMail.next_attempt_at).limit(limit)
    return list(db.session.scalars(query))


def give_up_waiting_mails(reason: str) -> int:
    """Settle every mail that is not out as not sent, within the caller's transaction; returns how many."""
    given_up = db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.state.in_((OutboxState.WAITING, OutboxState.SENDING)))
        .values(state=OutboxState.EXPIRED, settled_at=utcnow(), lease_until=None, reason=reason)
        .execution_options(synchronize_session=False)
    )
    return int(given_up.rowcount)  # type: ignore[attr-defined]


def _claim(mail_id: int) -> str | None:
    now, token = utcnow(), secrets.token_hex(8)
    waiting = and_(OutboxMail.state == OutboxState.WAITING, OutboxMail.next_attempt_at <= now)
    abandoned = and_(OutboxMail.state == OutboxState.SENDING, OutboxMail.lease_until < now)
    claimed = db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.id == mail_id, or_(waiting, abandoned))
        .values(state=OutboxState.SENDING, token=token, lease_until=now + LEASE, attempts=OutboxMail.attempts + 1)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
    return token if claimed.rowcount == 1 else None  # type: ignore[attr-defined]


def _content(mail: OutboxMail) -> MailContent | None:
    if mail.expires_at <= utcnow():
        return None
    with force_locale(mail.language):
        return render(mail)


def _message(mail: OutboxMail, content: MailContent) -> Message:
    name, address = content.sender or default_sender()
    domain = address.rpartition("@")[2]
    message = Message(
        subject=content.subject,
        recipients=[mail.to_address],
        body=content.text,
        html=content.html,
        sender=address,
        reply_to=content.reply_to or (None if content.sender else current_site().reply_to or None),
        date=utcnow().timestamp(),
        extra_headers={**TRANSACTIONAL_HEADERS, **content.headers},
    )
    message.sender_name = name
    message.mail_options = [f"{ENVELOPE_ID}m{mail.id}"]
    message.msgId = message_id(current_settings().secret_key.encode()[:64], "outbox", mail.id, domain=domain)
    return message


def _send(mail_id: int, token: str, message: Message, attempts: int) -> Delivered:
    try:
        with connect() as connection:
            connection.send(message)
    except ConnectionNotOpened as error:
        logger.warning("the mail server is not available: %s", error)
        return _try_again(mail_id, token, attempts, reason=error.reason, reply=f"{error.code or ''} {error.text}")
    except MailNotSent as error:
        outcome = error.outcome
        reply = f"{outcome.code} {outcome.enhanced} {outcome.text}".strip()
        if outcome.kind is OutcomeKind.PERMANENT:
            return _settle(mail_id, token, OutboxState.FAILED, reason=outcome.reason, reply=reply)
        return _try_again(mail_id, token, attempts, reason=outcome.reason, reply=reply)
    except (AddressError, HeaderError, BadHeaderError) as error:
        return _settle(mail_id, token, OutboxState.FAILED, reason="bad_address", reply=str(error))
    count_single_mail()
    return _settle(mail_id, token, OutboxState.SENT)


def _counted(delivered: Delivered, group: str) -> Delivered:
    """Count what became of an attempt for /metrics; one that waits again is called deferred there, as a campaign's."""
    outcome = "deferred" if delivered.state is OutboxState.WAITING else delivered.state.value
    count_mails("single", {(outcome, group): 1})
    return delivered


def _try_again(mail_id: int, token: str, attempts: int, *, reason: str, reply: str) -> Delivered:
    pause = RETRY_AFTER_SECONDS[min(attempts, len(RETRY_AFTER_SECONDS)) - 1]
    _update(
        mail_id, token, state=OutboxState.WAITING, next_attempt_at=utcnow() + timedelta(seconds=pause), reason=reason,
        reply=reply[:300],
    )  # fmt: skip
    return Delivered(OutboxState.WAITING, retry_in_seconds=pause)


def _settle(mail_id: int, token: str, state: OutboxState, *, reason: str | None = None, reply: str = "") -> Delivered:
    _update(mail_id, token, state=state, settled_at=utcnow(), reason=reason, reply=reply[:300])
    return Delivered(state)


def _update(mail_id: int, token: str, **values: Any) -> None:
    """Write the outcome if the mail is still ours; a worker that lost its lease changes nothing."""
    db.session.execute(
        update(OutboxMail)
        .where(OutboxMail.id == mail_id, OutboxMail.token == token, OutboxMail.state == OutboxState.SENDING)
        .values(lease_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
