"""Signing up, verifying and resetting: what the web request writes down, and what a mailed link then does.

A request never tells whether an address exists: it does the same work and writes the same one outbox row in every
case. What differs is decided where nobody can time it, when the mail is rendered by the worker (see mails.py).
"""

from __future__ import annotations

from datetime import timedelta

from flask_babel import get_locale
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.accounts.account_links import (
    CHOOSE_LIFETIME,
    RESET_LIFETIME,
    VERIFY_LIFETIME,
    LinkState,
    open_link,
    use_link,
)
from campaigns.accounts.addresses import Address
from campaigns.accounts.logins import drop_logins
from campaigns.accounts.models import AccountLink, LinkPurpose, User
from campaigns.accounts.passwords import hash_password
from campaigns.audit.services import person_actor, person_target, record_action
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import queue_mail

NOTICE_LIFETIME = timedelta(hours=24)


class LinkNotReady(Exception):
    """The link cannot be used (any more); `state` says why."""

    def __init__(self, state: LinkState) -> None:
        super().__init__(state)
        self.state = state


def sign_up(address: Address, password: str, *, name: str, language: str) -> int:
    """Take a sign-up and return the id of the mail that answers it. Commits.

    A new person is added, unverified. For an address that exists nothing of that person changes here.
    """
    password_hash = hash_password(password)
    is_new = _add_person(address, password_hash, name=name, language=language)
    mail = queue_mail(
        kind="sign_up_received",
        to_address=stored_address(address),
        language=language,
        expires_at=utcnow() + CHOOSE_LIFETIME,
        context={"is_new": is_new},
    )
    db.session.commit()
    return mail.id


def request_verification(address: Address, *, language: str) -> int:
    """Note that somebody wants another verification mail; returns the id of the mail. Commits."""
    mail = queue_mail(
        kind="verification_requested",
        to_address=stored_address(address),
        language=language,
        expires_at=utcnow() + VERIFY_LIFETIME,
    )
    db.session.commit()
    return mail.id


def request_verification_again(user: User, *, language: str) -> int:
    """Answer somebody who holds an expired link with a new one; returns the id of the mail. Commits."""
    return request_verification(Address(user.email, user.address_key), language=language)


def request_reset(address: Address, *, language: str) -> int:
    """Note that somebody forgot a password; returns the id of the mail, which is only sent to a person. Commits."""
    mail = queue_mail(
        kind="reset_requested",
        to_address=stored_address(address),
        language=language,
        expires_at=utcnow() + RESET_LIFETIME,
    )
    db.session.commit()
    return mail.id


def verify_address(token: str) -> User:
    """Use a verification link and return the person, who may now log in. Commits.

    Raises LinkNotReady when it was used or is too old.
    """
    user = use_mailed_link(token, LinkPurpose.VERIFY).user
    user.verified_at = user.verified_at or utcnow()
    db.session.commit()
    return user


def reset_password(token: str, password: str) -> int:
    """Set the password with a reset link and return the id of the mail that tells so. Commits.

    Whoever has the link has the mailbox, so the address counts as verified. Every log-in ends. Raises LinkNotReady.
    """
    password_hash = hash_password(password)
    user = use_mailed_link(token, LinkPurpose.RESET).user
    user.password_hash = password_hash
    user.verified_at = user.verified_at or utcnow()
    drop_logins(user.id)
    mail = queue_password_notice(user)
    target = person_target(user.id, user.email, role=user.role)
    record_action("user.password_reset", target, by=person_actor(user.id, user.email, role=user.role))
    db.session.commit()
    return mail.id


def queue_password_notice(user: User) -> OutboxMail:
    """Add the mail that says the password was changed to the caller's transaction. Commits nothing."""
    return queue_mail(
        kind="password_changed",
        to_address=user.email,
        language=user.language or str(get_locale()),
        expires_at=utcnow() + NOTICE_LIFETIME,
        context={"user_id": user.id},
    )


def use_mailed_link(token: str, purpose: LinkPurpose) -> AccountLink:
    """Use a link up within the caller's transaction and return it. Commits nothing. Raises LinkNotReady."""
    opened = open_link(token, purpose)
    if opened.state is not LinkState.READY or opened.link is None:
        raise LinkNotReady(opened.state)
    if not use_link(opened.link):
        db.session.rollback()
        raise LinkNotReady(LinkState.USED)
    return opened.link


def _add_person(address: Address, password_hash: str, *, name: str, language: str) -> bool:
    """Add a person unless the address is known; one statement that costs the same either way."""
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    row = {
        "email": address.email,
        "address_key": address.key,
        "name": name,
        "language": language,
        "attributes": {},
        "password_hash": password_hash,
        "created_at": utcnow(),
        "updated_at": utcnow(),
    }
    statement = insert(User).values(row).on_conflict_do_nothing(index_elements=["address_key"]).returning(User.id)
    return db.session.execute(statement).scalar_one_or_none() is not None


def stored_address(address: Address) -> str:
    """Return the address as its person wrote it: mail never goes to a look-alike that somebody typed."""
    query = select(User.email).where(User.address_key == address.key)
    return db.session.execute(query).scalar_one_or_none() or address.email
