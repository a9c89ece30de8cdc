"""Log-ins are rows: each ends by itself, by its person, or with a new password; only the row keeps it alive."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from flask import g
from sqlalchemy import Row, delete, select, update

from campaigns.accounts.addresses import parse_address
from campaigns.accounts.models import LoginSession, RefusedLogin, User
from campaigns.accounts.passwords import hash_password, needs_rehash, verify_password
from campaigns.accounts.queries import find_login, find_user, hash_token
from campaigns.audit.services import Actor, Target, record_action
from campaigns.clock import utcnow
from campaigns.extensions import db, login_manager
from campaigns.mail.addresses import AddressError

LONGEST = timedelta(hours=12)
CODE_WAIT = timedelta(minutes=10)  # how long the page that asks for the code may lie open
REMEMBERED_LONGEST = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=1)
PORTION = 500  # refusals that are written down in one transaction

# A changed browser or network makes no other person; stealing the cookie is met by its flags and by ending the row.
login_manager.session_protection = None


@dataclass(frozen=True)
class Visitor:
    """Where a log-in comes from, to be shown to its person."""

    ip_address: str
    device: str


class Outcome(StrEnum):
    """What became of a password that was tried."""

    REFUSED = "refused"
    NEEDS_CODE = "needs_code"
    BEGUN = "begun"


@dataclass(frozen=True)
class Attempt:
    """A password that was tried, and whose it was to be; None when nobody has the address."""

    outcome: Outcome
    user: User | None


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


def log_in(address: str, password: str, *, remember: bool, visitor: Visitor) -> Attempt:
    """Begin a log-in, whole or waiting for a code, with its secret in the person's `login_token`. Commits.

    Takes the same time whether the address is unknown, not verified or deactivated, or the password wrong.
    """
    user = _find_by_text(address)
    fits = verify_password(user.password_hash if user else None, password)
    if user is None or not fits or not user.can_log_in:
        return Attempt(Outcome.REFUSED, user)
    if needs_rehash(str(user.password_hash)):
        user.password_hash = hash_password(password)
    if user.two_step_at is None:
        begin_login(user, remember=remember, visitor=visitor)
    else:
        _add_login(user, remember=remember, visitor=visitor, lifetime=CODE_WAIT, needs_code=True)
    db.session.commit()
    return Attempt(Outcome.BEGUN if user.two_step_at is None else Outcome.NEEDS_CODE, user)


def begin_login(user: User, *, remember: bool, visitor: Visitor) -> None:
    """Add a log-in to the caller's transaction and put its secret on `user.login_token`. Commits nothing."""
    _add_login(user, remember=remember, visitor=visitor, lifetime=REMEMBERED_LONGEST if remember else LONGEST)
    user.last_login_at = utcnow()
    if user.role is not None:
        record_action("login.began", Target("user", user.id, user.email), by=Actor(user.id, user.email))


def keep_refusal(user_id: int | None, *, ip_address: str) -> None:
    """Keep that a password did not fit, with the same work whoever it was to be. Commits.

    `record_refusals` writes it into the activity log later, where nobody can time what differs.
    """
    db.session.add(RefusedLogin(user_id=user_id, ip_address=ip_address[:45]))
    db.session.commit()


def record_refusals() -> None:
    """Write the passwords that did not fit into the activity log: those of people with a role. Commits by portion.

    Harmless to repeat: who takes a row away is who writes it down.
    """
    while taken := _take_refusals():
        for each in sorted(taken, key=lambda refused: refused.id):
            _record_refusal(each.user_id, "password", ip_address=each.ip_address, tried_at=each.at)
        db.session.commit()


def note_refusal(user_id: int, reason: str, *, ip_address: str) -> None:
    """Write in the activity log that somebody with a role was refused; nothing for anybody else. Commits."""
    _record_refusal(user_id, reason, ip_address=ip_address)
    db.session.commit()


def _take_refusals() -> Sequence[Row[int, int | None, str, datetime]]:
    some = select(RefusedLogin.id).order_by(RefusedLogin.id).limit(PORTION)
    columns = RefusedLogin.id, RefusedLogin.user_id, RefusedLogin.ip_address, RefusedLogin.at
    taken = delete(RefusedLogin).where(RefusedLogin.id.in_(some)).returning(*columns)
    return db.session.execute(taken.execution_options(synchronize_session=False)).all()


def _record_refusal(user_id: int | None, reason: str, *, ip_address: str, tried_at: datetime | None = None) -> None:
    user = db.session.get(User, user_id) if user_id else None
    if user is None or user.role is None:
        return
    when = {"tried_at": f"{tried_at:%Y-%m-%d %H:%M:%S} UTC"} if tried_at else None
    target = Target("user", user.id, user.email)
    record_action("login.refused", target, reason=reason, after=when, by=Actor(ip=ip_address))


def _add_login(user: User, *, remember: bool, visitor: Visitor, lifetime: timedelta, needs_code: bool = False) -> None:
    now, token = utcnow(), secrets.token_urlsafe(32)
    db.session.execute(delete(LoginSession).where(LoginSession.user_id == user.id, LoginSession.expires_at <= now))
    db.session.add(
        LoginSession(
            user_id=user.id,
            token_hash=hash_token(token),
            expires_at=now + lifetime,
            is_remembered=remember,
            needs_code=needs_code,
            ip_address=visitor.ip_address[:45],
            device=visitor.device[:200],
        )
    )
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
    if was_there := ended.rowcount == 1:  # type: ignore[attr-defined]
        _record_end(user_id, "login.ended")
    db.session.commit()
    return bool(was_there)


def end_other_logins(user_id: int, *, keep_id: int | None) -> None:
    """End every log-in of this person but one. Commits; harmless to repeat."""
    drop_logins(user_id, keep_id=keep_id)
    _record_end(user_id, "user.logins_ended")
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


def _record_end(user_id: int, action: str) -> None:
    user = db.session.get_one(User, user_id)
    if user.role is not None:
        record_action(action, Target("user", user.id, user.email))


def _find_by_text(address: str) -> User | None:
    try:
        return find_user(parse_address(address).key)
    except AddressError:
        return find_user("")  # nobody; asked so that a malformed address takes as long
