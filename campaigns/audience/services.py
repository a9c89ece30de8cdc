"""What is done with one person by those who run the site. Each function is one transaction."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.accounts.addresses import Address
from campaigns.accounts.models import User
from campaigns.accounts.queries import find_user
from campaigns.audience.models import Suppression, SuppressionReason
from campaigns.audience.queries import get_user
from campaigns.clock import utcnow
from campaigns.errors import Conflict, UserError
from campaigns.extensions import db


class AddressTaken(Conflict):
    """Somebody has this address already; `user_id` is who."""

    def __init__(self, user_id: int) -> None:
        super().__init__(_("This address belongs to a user already."))
        self.user_id = user_id


def add_user(address: Address, *, name: str, language: str | None, receives: bool) -> int:
    """Add a person and return their id. Commits. Raises AddressTaken.

    `receives` says that they have agreed to announcements at this address, so that it counts as verified. Without it
    they get nothing until they have verified the address themselves.
    """
    now = utcnow()
    row: dict[str, Any] = {
        "email": address.email,
        "address_key": address.key,
        "name": name,
        "language": language,
        "attributes": {},
        "created_at": now,
        "updated_at": now,
        "verified_at": now if receives else None,
    }
    statement = _insert(User).values(row).on_conflict_do_nothing(index_elements=["address_key"]).returning(User.id)
    user_id = db.session.execute(statement).scalar_one_or_none()
    if user_id is None:
        known = find_user(address.key)
        raise AddressTaken(known.id if known else 0)
    db.session.commit()
    return user_id


def update_user(user_id: int, *, name: str, language: str | None) -> None:
    """Change what is known of a person. Commits; harmless to repeat. Raises NotFound."""
    user = get_user(user_id)
    user.name, user.language = name, language
    db.session.commit()


def suppress_user(user_id: int, reason: SuppressionReason, *, detail: str) -> None:
    """Put a person's address on the suppression list, for running campaigns too. Commits. Raises NotFound.

    Harmless to repeat: the first reason stays.
    """
    _suppress(get_user(user_id).address_key, reason, detail=detail)
    db.session.commit()


def lift_suppression(user_id: int) -> bool:
    """Take a person's address off the suppression list; tells whether it was on it. Commits. Raises NotFound."""
    key = get_user(user_id).address_key
    lifted = db.session.execute(delete(Suppression).where(Suppression.address_key == key))
    db.session.commit()
    return lifted.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def delete_user(user_id: int, *, keep_out: bool) -> None:
    """Delete a person for good, with their log-ins and links. Commits. Raises NotFound.

    Rows of the ledger stay, without the person. With `keep_out` the address goes on the suppression list, so that a
    later import does not bring somebody back who had unsubscribed. Raises UserError for people with a role.
    """
    user = get_user(user_id)
    key, unsubscribed = user.address_key, user.unsubscribed_at is not None
    deleted = db.session.execute(delete(User).where(User.id == user_id, User.role.is_(None)))
    if deleted.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        raise UserError(_("People with a role cannot be deleted. Take the role away first."))
    if keep_out:
        reason = SuppressionReason.UNSUBSCRIBED if unsubscribed else SuppressionReason.BY_HAND
        _suppress(key, reason, detail="")
    db.session.commit()


def _suppress(address_key: str, reason: SuppressionReason, *, detail: str) -> None:
    row = {"address_key": address_key, "reason": reason.value, "detail": detail, "created_at": utcnow()}
    db.session.execute(_insert(Suppression).values(row).on_conflict_do_nothing(index_elements=["address_key"]))


def _insert(model: type[User] | type[Suppression]) -> postgresql.Insert | sqlite.Insert:
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    return insert(model)
