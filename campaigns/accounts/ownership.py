"""The last owner: whatever takes an owner away asks here, within its own transaction.

Locking and asking together hold when two do it at once: on PostgreSQL the second waits for the first and then sees
what it left, on SQLite there is one writer at a time anyway.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from campaigns.accounts.models import User
from campaigns.extensions import db
from campaigns.security import Role


def lock_owners() -> None:
    """Let those who would take an owner away take turns until their transaction ends; always in the same order."""
    db.session.execute(select(User.id).where(User.role == Role.OWNER).order_by(User.id).with_for_update()).all()


def somebody_else_owns(user_id: int) -> ColumnElement[bool]:
    """Return the condition of an UPDATE or DELETE of this person: no active owner, or not the only one."""
    other = aliased(User)
    owns = (other.role == Role.OWNER, other.deactivated_at.is_(None), other.id != user_id)
    others = select(other.id).where(*owns).exists()
    return or_(User.role.is_(None), User.role != Role.OWNER, User.deactivated_at.is_not(None), others)
