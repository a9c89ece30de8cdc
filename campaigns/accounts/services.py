"""What a person changes about their own account, and what an owner or the command line changes about roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import aliased

from campaigns.accounts.account_links import CHOOSE_LIFETIME, issue_link
from campaigns.accounts.addresses import parse_address
from campaigns.accounts.logins import drop_logins
from campaigns.accounts.models import AccountLink, LinkPurpose, LoginSession, User
from campaigns.accounts.passwords import hash_password, verify_password
from campaigns.accounts.queries import find_user
from campaigns.accounts.sign_up import queue_password_notice
from campaigns.clock import utcnow
from campaigns.errors import NotFound, UserError
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.security import Role

KEEP_DEAD_LINKS = timedelta(days=7)  # so that a late click is told "used" rather than "unknown"
KEEP_UNVERIFIED = timedelta(days=30)


def update_profile(user_id: int, *, name: str, language: str | None, timezone: str | None) -> None:
    """Save what a person says about themselves; None for language or zone means the site's. Commits."""
    _change(user_id, name=name, language=language, timezone=timezone)


def choose_announcements(user_id: int, *, wanted: bool) -> None:
    """Let a person take announcements or leave them, for running campaigns too. Commits; harmless to repeat."""
    still = User.unsubscribed_at.is_not(None) if wanted else User.unsubscribed_at.is_(None)
    db.session.execute(
        update(User).where(User.id == user_id, still).values(unsubscribed_at=None if wanted else utcnow())
    )
    db.session.commit()


def change_password(user_id: int, *, current: str, new: str, keep_login_id: int | None) -> int:
    """Change the password, end every other log-in, and return the id of the mail that tells so. Commits.

    Raises UserError when the current password is wrong.
    """
    user = db.session.get_one(User, user_id)
    _check_password(user, current)
    user.password_hash = hash_password(new)
    drop_logins(user_id, keep_id=keep_login_id)
    mail = queue_password_notice(user)
    db.session.commit()
    return mail.id


def delete_account(user_id: int, *, password: str) -> None:
    """Delete a person for good, with their log-ins and links. Commits.

    Rows of the ledger stay, without the person: their user becomes NULL, which the delivery engine skips. Raises
    UserError when the password is wrong or nobody else owns the site.
    """
    _check_password(db.session.get_one(User, user_id), password)
    _lock_owners()
    deleted = db.session.execute(delete(User).where(User.id == user_id, _somebody_else_owns(user_id)))
    if deleted.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        raise UserError(_("You are the only owner of this site. Make somebody else an owner first."))
    db.session.commit()


def change_role(user_id: int, role: Role | None, *, by: User | None) -> None:
    """Give a person a role, or take it away with None; their log-ins end. Commits; harmless to repeat.

    `by` is the owner who does it, None for the command line. Raises NotFound, or UserError when nobody would own the
    site any more, or when the person has not proved that the address is theirs: whoever signed up with it could
    otherwise become an administrator.
    """
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound(_("This person does not exist any more."))
    if role is not None and user.verified_at is None:
        raise UserError(_("Only people who have verified their address can get a role."))
    _lock_owners()
    condition = [] if role is Role.OWNER else [_somebody_else_owns(user_id)]
    if not _update(user_id, *condition, role=role):
        db.session.rollback()
        raise UserError(_("The last owner of this site must stay an owner."))
    drop_logins(user_id)
    db.session.commit()


def create_admin(
    email: str, role: Role | str = Role.OWNER, name: str = "", password: str | None = None
) -> tuple[User, str | None]:
    """Give the person with this address a role, adding them if need be; for the command line and the demo. Commits.

    With `password` they can log in with it at once. Without one, the second value is a link to set it, good once for
    24 hours, or None when they have a password already. Raises AddressError for what is no address.
    """
    address = parse_address(email)
    user = find_user(address.key) or User(email=address.email, address_key=address.key)
    user.name = name or user.name or ""
    user.role = Role(role)
    if password is not None:
        user.password_hash, user.verified_at = hash_password(password), user.verified_at or utcnow()
    elif user.verified_at is None:
        # Somebody may have signed up with this address; their password must not open an administrator's account.
        user.password_hash = None
    db.session.add(user)
    db.session.flush()
    drop_logins(user.id)
    link = None if user.password_hash else _link_to_choose_password(user)
    db.session.commit()
    return user, link


def clean_up() -> None:
    """Delete log-ins and links long over, and sign-ups that were never verified. Commits; harmless to repeat."""
    now = utcnow()
    db.session.execute(delete(LoginSession).where(LoginSession.expires_at < now))
    db.session.execute(delete(AccountLink).where(AccountLink.expires_at < now - KEEP_DEAD_LINKS))
    never_verified = (User.verified_at.is_(None), User.password_hash.is_not(None), User.role.is_(None))
    db.session.execute(delete(User).where(*never_verified, User.created_at < now - KEEP_UNVERIFIED))
    db.session.commit()


def _link_to_choose_password(user: User) -> str:
    token = issue_link(user.id, LinkPurpose.RESET, lifetime=CHOOSE_LIFETIME)
    return public_url("accounts.reset_password", token=token)


def _check_password(user: User, password: str) -> None:
    if not verify_password(user.password_hash, password):
        raise UserError(_("This is not your current password."))


def _lock_owners() -> None:
    """Let two owners who step down at once take turns; SQLite has one writer at a time anyway."""
    db.session.execute(select(User.id).where(User.role == Role.OWNER).with_for_update()).all()


def _somebody_else_owns(user_id: int) -> ColumnElement[bool]:
    """The person is no owner, or not the only one."""
    other = aliased(User)
    others = select(other.id).where(other.role == Role.OWNER, other.id != user_id).exists()
    return or_(User.role.is_(None), User.role != Role.OWNER, others)


def _change(user_id: int, **values: Any) -> None:
    _update(user_id, **values)
    db.session.commit()


def _update(user_id: int, *conditions: ColumnElement[bool], **values: Any) -> bool:
    statement = update(User).where(User.id == user_id, *conditions).values(updated_at=utcnow(), **values)
    return db.session.execute(statement).rowcount == 1  # type: ignore[attr-defined,no-any-return]
