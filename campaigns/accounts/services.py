"""What a person changes about their own account, and how the command line appoints administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, delete, select, update

from campaigns.accounts.account_links import CHOOSE_LIFETIME, issue_link
from campaigns.accounts.addresses import parse_address
from campaigns.accounts.logins import drop_logins
from campaigns.accounts.models import AccountLink, LinkPurpose, LoginSession, User
from campaigns.accounts.ownership import lock_owners, somebody_else_owns
from campaigns.accounts.passwords import hash_password, verify_password
from campaigns.accounts.queries import find_user
from campaigns.accounts.sign_up import queue_password_notice
from campaigns.audit.services import Target, mask, person_target, record_action, what_changed
from campaigns.clock import utcnow
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.security import Role

KEEP_DEAD_LINKS = timedelta(days=7)  # so that a late click is told "used" rather than "unknown"
KEEP_UNVERIFIED = timedelta(days=30)


def update_profile(user_id: int, *, name: str, language: str | None, timezone: str | None) -> None:
    """Save what a person says about themselves; None for language or zone means the site's. Commits.

    Saving what is there already is no deed, so a repeat is harmless.
    """
    user = db.session.get_one(User, user_id)
    now = {"name": name, "language": language, "timezone": timezone}
    before, after = what_changed({field: getattr(user, field) for field in now}, now)
    if after:
        record_action("user.profile_changed", target_of(user), before=_masked(before), after=_masked(after))
        _change(user_id, **after)


def choose_announcements(user_id: int, *, wanted: bool, for_them: bool = False) -> None:
    """Let a person take announcements or leave them, for running campaigns too. Commits; harmless to repeat.

    `for_them` says that somebody else does it in their place, which the activity log notes.
    """
    still = User.unsubscribed_at.is_not(None) if wanted else User.unsubscribed_at.is_(None)
    chosen = update(User).where(User.id == user_id, still).values(unsubscribed_at=None if wanted else utcnow())
    if db.session.execute(chosen).rowcount and for_them:  # type: ignore[attr-defined]
        user = db.session.get_one(User, user_id)
        record_action("user.resubscribed" if wanted else "user.unsubscribed", target_of(user))
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
    record_action("user.password_changed", target_of(user))
    db.session.commit()
    return mail.id


def choose_digest(user_id: int, *, wanted: bool) -> None:
    """Send a person who runs the site the daily digest, or not. Commits; harmless to repeat."""
    user = db.session.get_one(User, user_id)
    record_action("user.digest_chosen", person_target(user.id, user.email, role=user.role), after={"wanted": wanted})
    _change(user_id, wants_digest=wanted)


def delete_account(user_id: int, *, password: str) -> None:
    """Delete a person for good, with their log-ins and links. Commits.

    Rows of the ledger stay, without the person: their user becomes NULL, which the delivery engine skips. Raises
    UserError when the password is wrong or nobody else owns the site.
    """
    user = db.session.get_one(User, user_id)
    _check_password(user, password)
    record_action("user.deleted", target_of(user), before={"role": user.role}, reason="by themselves")
    lock_owners()
    deleted = db.session.execute(delete(User).where(User.id == user_id, somebody_else_owns(user_id)))
    if deleted.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        raise UserError(_("You are the only owner of this site. Make somebody else an owner first."))
    db.session.commit()


def create_admin(
    email: str, role: Role | str = Role.OWNER, name: str = "", password: str | None = None
) -> tuple[User, str | None]:
    """Give the person with this address a role, adding them if need be; for the command line and the demo. Commits.

    With `password` they can log in with it at once. Without one, the second value is a link to set it, good once for
    24 hours, or None when they have a password already. Raises AddressError for what is no address, UserError when
    nobody would own the site any more.
    """
    address = parse_address(email)
    user = find_user(address.key) or User(email=address.email, address_key=address.key)
    _check_stays_owned(user, Role(role))
    before = user.role
    user.name = name or user.name or ""
    user.role, user.deactivated_at = Role(role), None
    if password is not None:
        user.password_hash, user.verified_at = hash_password(password), user.verified_at or utcnow()
    elif user.verified_at is None:
        # Somebody may have signed up with this address; their password must not open an administrator's account.
        user.password_hash = None
    db.session.add(user)
    db.session.flush()
    drop_logins(user.id)
    record_action("user.role_changed", target_of(user), before={"role": before}, after={"role": user.role})
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


def target_of(user: User) -> Target:
    """Return a person as the activity log names them."""
    return person_target(user.id, user.email, role=user.role)


def _masked(values: dict[str, Any]) -> dict[str, Any]:
    """Return what may stay in the log when the person is gone: of a name its first letter."""
    return {name: mask(value) if name == "name" else value for name, value in values.items()}


def _check_stays_owned(user: User, role: Role) -> None:
    """Whoever owns the site alone stays an owner; within the caller's transaction."""
    if user.role != Role.OWNER or role is Role.OWNER:
        return
    lock_owners()
    if db.session.execute(select(User.id).where(User.id == user.id, somebody_else_owns(user.id))).first() is None:
        raise UserError(_("The last owner of this site must stay an owner."))


def _check_password(user: User, password: str) -> None:
    if not verify_password(user.password_hash, password):
        raise UserError(_("This is not your current password."))


def _change(user_id: int, **values: Any) -> None:
    _update(user_id, **values)
    db.session.commit()


def _update(user_id: int, *conditions: ColumnElement[bool], **values: Any) -> bool:
    statement = update(User).where(User.id == user_id, *conditions).values(updated_at=utcnow(), **values)
    return db.session.execute(statement).rowcount == 1  # type: ignore[attr-defined,no-any-return]
