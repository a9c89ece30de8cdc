"""Links that are mailed to a person, act once, and die by time, by use, or by a newer one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select, update

from campaigns.accounts.models import AccountLink, LinkPurpose
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.links import sign, unsign

VERIFY_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(minutes=30)
# For people who have no password yet there is nothing to take over; they may find the mail in the evening.
CHOOSE_LIFETIME = timedelta(hours=24)
ADDRESS_LIFETIME = timedelta(hours=1)


class LinkState(StrEnum):
    """What a link in somebody's hands is worth."""

    READY = "ready"
    USED = "used"
    EXPIRED = "expired"  # too old, or followed by a newer one
    UNKNOWN = "unknown"  # cut off, forged, for something else, or its person is gone


@dataclass(frozen=True)
class OpenedLink:
    """A link as it was found; `link` is None only when the state is UNKNOWN."""

    state: LinkState
    link: AccountLink | None


def issue_link(
    user_id: int,
    purpose: LinkPurpose,
    *,
    lifetime: timedelta,
    mail_id: int | None = None,
    new_email: str | None = None,
) -> str:
    """Add a link to the caller's transaction and return its token; older ones of the purpose die. Commits nothing."""
    drop_links(user_id, purpose)
    link = AccountLink(
        user_id=user_id,
        purpose=purpose,
        nonce=secrets.token_hex(16),
        expires_at=utcnow() + lifetime,
        mail_id=mail_id,
        new_email=new_email,
    )
    db.session.add(link)
    db.session.flush()
    return _token_of(link)


def link_of_mail(user_id: int, purpose: LinkPurpose, *, lifetime: timedelta, mail_id: int) -> str | None:
    """Return the token of the link that this mail carries, the same at every attempt to send it. Commits nothing.

    Its time runs from the latest attempt. None when the link was used or followed by a newer one meanwhile.
    """
    link = db.session.execute(select(AccountLink).where(AccountLink.mail_id == mail_id)).scalar_one_or_none()
    if link is None:
        return issue_link(user_id, purpose, lifetime=lifetime, mail_id=mail_id)
    if link.used_at or link.expires_at <= utcnow():
        return None
    link.expires_at = utcnow() + lifetime
    return _token_of(link)


def open_link(token: str, purpose: LinkPurpose) -> OpenedLink:
    """Return what `token` is worth. Reads only: a mail scanner that follows links changes nothing."""
    payload = unsign(f"account.{purpose}", token)
    link = db.session.get(AccountLink, payload[0]) if payload else None
    if payload is None or link is None or link.nonce != payload[1]:
        return OpenedLink(LinkState.UNKNOWN, None)
    if link.used_at:
        return OpenedLink(LinkState.USED, link)
    return OpenedLink(LinkState.READY if link.expires_at > utcnow() else LinkState.EXPIRED, link)


def use_link(link: AccountLink) -> bool:
    """Use the link up within the caller's transaction; tells whether it was still to be used. Commits nothing."""
    now = utcnow()
    used = db.session.execute(
        update(AccountLink)
        .where(AccountLink.id == link.id, AccountLink.used_at.is_(None), AccountLink.expires_at > now)
        .values(used_at=now)
        .execution_options(synchronize_session=False)
    )
    return used.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def drop_links(user_id: int, purpose: LinkPurpose) -> None:
    """Let the person's unused links of this purpose expire, within the caller's transaction. Commits nothing."""
    now = utcnow()
    db.session.execute(
        update(AccountLink)
        .where(
            AccountLink.user_id == user_id,
            AccountLink.purpose == purpose,
            AccountLink.used_at.is_(None),
            AccountLink.expires_at > now,
        )
        .values(expires_at=now)
    )


def _token_of(link: AccountLink) -> str:
    return sign(f"account.{link.purpose}", [link.id, link.nonce])
