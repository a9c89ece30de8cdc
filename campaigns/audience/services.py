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
from campaigns.audit.services import Target, mask, person_target, record_action, what_changed
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
    record_action("user.created", person_target(user_id, address.email), after={"receives": receives})
    db.session.commit()
    return user_id


def update_user(user_id: int, *, name: str, language: str | None) -> None:
    """Change what is known of a person. Commits; harmless to repeat. Raises NotFound."""
    user = get_user(user_id)
    before, after = what_changed({"name": user.name, "language": user.language}, {"name": name, "language": language})
    user.name, user.language = name, language
    if after:
        record_action("user.edited", _target(user), before=_masked(before), after=_masked(after))
    db.session.commit()


def suppress_user(user_id: int, reason: SuppressionReason, *, detail: str) -> None:
    """Put a person's address on the suppression list, for running campaigns too. Commits. Raises NotFound.

    Harmless to repeat: the first reason stays.
    """
    user = get_user(user_id)
    if _suppress(user.address_key, reason, detail=detail):
        record_action("user.suppressed", _target(user), after={"reason": reason.value})
    db.session.commit()


def lift_suppression(user_id: int) -> bool:
    """Take a person's address off the suppression list; tells whether it was on it. Commits. Raises NotFound."""
    user = get_user(user_id)
    result = db.session.execute(delete(Suppression).where(Suppression.address_key == user.address_key))
    lifted = bool(result.rowcount == 1)  # type: ignore[attr-defined]
    if lifted:
        record_action("user.unsuppressed", _target(user))
    db.session.commit()
    return lifted


def delete_user(user_id: int, *, keep_out: bool) -> None:
    """Delete a person for good, with their log-ins and links. Commits. Raises NotFound.

    Rows of the ledger stay, without the person. With `keep_out` the address goes on the suppression list, so that a
    later import does not bring somebody back who had unsubscribed. Raises UserError for people with a role.
    """
    user = get_user(user_id)
    key, unsubscribed, target = user.address_key, user.unsubscribed_at is not None, _target(user)
    deleted = db.session.execute(delete(User).where(User.id == user_id, User.role.is_(None)))
    if deleted.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        raise UserError(_("People with a role cannot be deleted. Take the role away first."))
    if keep_out:
        reason = SuppressionReason.UNSUBSCRIBED if unsubscribed else SuppressionReason.BY_HAND
        _suppress(key, reason, detail="")
    record_action("user.deleted", target, after={"keep_out": keep_out})
    db.session.commit()


def _target(user: User) -> Target:
    return person_target(user.id, user.email, role=user.role)


def _masked(values: dict[str, Any]) -> dict[str, Any]:
    """Return what may stay in the log when the person is gone: of a name its first letter."""
    return {name: mask(value) if name == "name" else value for name, value in values.items()}


def _suppress(address_key: str, reason: SuppressionReason, *, detail: str) -> bool:
    row = {"address_key": address_key, "reason": reason.value, "detail": detail, "created_at": utcnow()}
    statement = _insert(Suppression).values(row).on_conflict_do_nothing(index_elements=["address_key"])
    return db.session.execute(statement.returning(Suppression.address_key)).scalar_one_or_none() is not None


def _insert(model: type[User] | type[Suppression]) -> postgresql.Insert | sqlite.Insert:
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    return insert(model)
