"""Log-ins are rows: each ends by itself, by its person, or with a new password; only the row keeps it alive."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from flask import g
from sqlalchemy import delete, update

from campaigns.accounts.addresses import parse_address
from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.passwords import hash_password, needs_rehash, verify_password
from campaigns.accounts.queries import find_login, find_user, hash_token
from campaigns.clock import utcnow
from campaigns.extensions import db, login_manager
from campaigns.mail.addresses import AddressError

LONGEST = timedelta(hours=12)
REMEMBERED_LONGEST = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=1)

# A changed browser or network makes no other person; stealing the cookie is met by its flags and by ending the row.
login_manager.session_protection = None


@dataclass(frozen=True)
class Visitor:
    """Where a log-in comes from, to be shown to its person."""

    ip_address: str
    device: str


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(token: str) -> User | None:
    """Return the person whose log-in the session cookie carries, or None when it has ended. Reads only."""
    login = find_login(token)
    g.login = login
    return login.user if login else None


def current_login() -> LoginSession | None:
    """Return the log-in of this request, once the person of the request has been asked for."""
    login: LoginSession | None = g.get("login")
    return login


def log_in(address: str, password: str, *, remember: bool, visitor: Visitor) -> User | None:
    """Begin a log-in and return the person, its secret in `login_token`; None when the two do not fit. Commits.

    Takes the same time and says the same whether the address is unknown, not verified, or the password wrong.
    """
    user = _find_by_text(address)
    fits = verify_password(user.password_hash if user else None, password)
    if user is None or not fits or not user.can_log_in:
        return None
    if needs_rehash(str(user.password_hash)):
        user.password_hash = hash_password(password)
    begin_login(user, remember=remember, visitor=visitor)
    db.session.commit()
    return user


def begin_login(user: User, *, remember: bool, visitor: Visitor) -> None:
    """Add a log-in to the caller's transaction and put its secret on `user.login_token`. Commits nothing."""
    now, token = utcnow(), secrets.token_urlsafe(32)
    db.session.execute(delete(LoginSession).where(LoginSession.user_id == user.id, LoginSession.expires_at <= now))
    db.session.add(
        LoginSession(
            user_id=user.id,
            token_hash=hash_token(token),
            expires_at=now + (REMEMBERED_LONGEST if remember else LONGEST),
            is_remembered=remember,
            ip_address=visitor.ip_address[:45],
            device=visitor.device[:200],
        )
    )
    user.last_login_at = now
    user.login_token = token


def note_visit(login: LoginSession) -> None:
    """Note that the log-in is in use, at most once a minute. Commits."""
    now = utcnow()
    if login.last_seen_at > now - SEEN_EVERY:
        return
    db.session.execute(
        update(LoginSession)
        .where(LoginSession.id == login.id, LoginSession.last_seen_at <= now - SEEN_EVERY)
        .values(last_seen_at=now)
    )
    db.session.commit()


def end_login(user_id: int, login_id: int) -> bool:
    """End one log-in of this person; tells whether it was there. Commits; harmless to repeat."""
    ended = db.session.execute(delete(LoginSession).where(LoginSession.id == login_id, LoginSession.user_id == user_id))
    db.session.commit()
    return ended.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def end_other_logins(user_id: int, *, keep_id: int | None) -> None:
    """End every log-in of this person but one. Commits; harmless to repeat."""
    drop_logins(user_id, keep_id=keep_id)
    db.session.commit()


def drop_logins(user_id: int, *, keep_id: int | None = None) -> None:
    """End the person's log-ins, all or all but one, within the caller's transaction. Commits nothing."""
    condition = LoginSession.user_id == user_id
    if keep_id is not None:
        condition &= LoginSession.id != keep_id
    db.session.execute(delete(LoginSession).where(condition))


def drop_every_login() -> None:
    """End the log-ins of all people within the caller's transaction. Commits nothing."""
    db.session.execute(delete(LoginSession))


def _find_by_text(address: str) -> User | None:
    try:
        return find_user(parse_address(address).key)
    except AddressError:
        return find_user("")  # nobody; asked so that a malformed address takes as long
