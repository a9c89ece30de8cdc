"""Questions about people and their log-ins. Nothing here commits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import contains_eager, joinedload

from campaigns.accounts.models import LoginSession, RecoveryCode, User
from campaigns.clock import utcnow
from campaigns.extensions import db

# A log-in that rests longer than this has ended; so has one of that age. People who handle personal data are logged
# out after rest by Korean rules on safety measures; "keep me logged in" is a person's own choice for their own device.
IDLE = timedelta(minutes=30)
REMEMBERED_IDLE = timedelta(days=7)


def find_user(address_key: str) -> User | None:
    """Return the person with that address, written as `parse_address(…).key` is."""
    return db.session.execute(select(User).where(User.address_key == address_key)).scalar_one_or_none()


def find_login(token: str) -> LoginSession | None:
    """Return the log-in that `token` opens, with its person, in one query; None when it has ended."""
    query = (
        select(LoginSession)
        .join(LoginSession.user)
        .options(contains_eager(LoginSession.user))
        .where(LoginSession.token_hash == hash_token(token), _is_alive(), User.deactivated_at.is_(None))
    )
    return db.session.execute(query).scalar_one_or_none()


def find_half_login(token: str) -> LoginSession | None:
    """Return the log-in that waits for its code and that `token` opens; None when its time is over."""
    query = (
        select(LoginSession)
        .options(joinedload(LoginSession.user, innerjoin=True))
        .where(
            LoginSession.token_hash == hash_token(token),
            LoginSession.needs_code,
            LoginSession.expires_at > utcnow(),
        )
    )
    return db.session.execute(query).scalar_one_or_none()


def list_logins(user_id: int) -> Sequence[LoginSession]:
    """Return the person's log-ins that have not ended, the last used first."""
    query = select(LoginSession).where(LoginSession.user_id == user_id, _is_alive())
    return db.session.execute(query.order_by(LoginSession.last_seen_at.desc(), LoginSession.id.desc())).scalars().all()


def count_recovery_codes(user_id: int) -> int:
    """Return how many recovery codes the person has left."""
    unused = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return db.session.execute(unused).scalar_one()


def somebody_has_a_role() -> bool:
    """Tell whether anybody runs the site already; until then it waits to be set up."""
    return bool(db.session.execute(select(exists().where(User.role.is_not(None)))).scalar_one())


def hash_token(token: str) -> str:
    """Return what is stored of a log-in's secret: 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def _is_alive() -> ColumnElement[bool]:
    now = utcnow()
    seen = LoginSession.last_seen_at
    rested = or_(seen > now - IDLE, and_(LoginSession.is_remembered, seen > now - REMEMBERED_IDLE))
    return and_(LoginSession.expires_at > now, LoginSession.needs_code.is_(False), rested)
