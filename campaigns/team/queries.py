"""Questions about the team: who is in it, and when they were last seen. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import case, func, select

from campaigns.accounts.models import LoginSession, User
from campaigns.database import LARGEST_ID
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.security import Role


@dataclass(frozen=True)
class Member:
    """A person with a role, and when they last used the site, None for never."""

    user: User
    last_seen_at: datetime | None


def list_members() -> Sequence[Member]:
    """Return everybody who has a role, the highest first, then by name; those who are deactivated last."""
    order = case({role.value: place for place, role in enumerate(Role)}, value=User.role)
    own = (LoginSession.user_id == User.id, LoginSession.needs_code.is_(False))
    last_seen = select(func.max(LoginSession.last_seen_at)).where(*own).scalar_subquery()
    query = select(User, last_seen).where(User.role.is_not(None))
    found = db.session.execute(query.order_by(User.deactivated_at.is_not(None), order, User.name, User.id)).all()
    return [Member(user, seen or user.last_login_at) for user, seen in found]


def find_person(user_id: int) -> User:
    """Return a person. Raises NotFound."""
    user = db.session.get(User, user_id) if user_id <= LARGEST_ID else None
    if user is None:
        raise NotFound(_("This person does not exist any more."))
    return user


def find_member(user_id: int) -> User:
    """Return a person who has a role. Raises NotFound."""
    user = find_person(user_id)
    if user.role is None:
        raise NotFound(_("This person is not in the team any more."))
    return user
