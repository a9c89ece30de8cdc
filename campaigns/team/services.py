"""What the team does with its members: roles, coming and going, their log-ins. Each function is one transaction."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, update

from campaigns.accounts.logins import drop_logins
from campaigns.accounts.models import User
from campaigns.accounts.ownership import lock_owners, somebody_else_owns
from campaigns.accounts.second_factor import forget as forget_second_factor
from campaigns.accounts.two_step_services import queue_two_step_notice
from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.errors import Conflict, Forbidden, UserError
from campaigns.extensions import db
from campaigns.security import Role
from campaigns.team.policy import may_handle
from campaigns.team.queries import find_person


def change_role(user_id: int, role: Role | None, *, by: User | None) -> None:
    """Give a person a role, or take it away with None; their log-ins end. Commits; harmless to repeat.

    `by` is who does it, None for the command line. Raises NotFound, Forbidden, Conflict, and UserError when nobody
    would own the site any more, or when the person is deactivated or has not proved that the address is theirs:
    whoever signed up with it could otherwise become an administrator.
    """
    user = find_person(user_id)
    _check_may_handle(by, user)
    _check_may_give(by, role)
    if role is not None and user.verified_at is None:
        raise UserError(_("Only people who have verified their address can get a role."))
    if user.deactivated_at is not None:
        raise UserError(_("This person is deactivated. Reactivate them before you change the role."))
    before = user.role
    condition = [User.deactivated_at.is_(None)] if role is Role.OWNER else [_is_active_and_not_last(user_id)]
    _change(user, *condition, role=role)
    drop_logins(user_id)
    record_action("user.role_changed", _target(user), before={"role": before}, after={"role": role})
    db.session.commit()


def deactivate(user_id: int, *, by: User | None) -> None:
    """Keep a member of the team from logging in, and end every log-in at once. Commits; harmless to repeat.

    Role, password and announcements stay as they are. Raises NotFound, Forbidden, Conflict, and UserError for the
    last owner or for oneself.
    """
    user = find_person(user_id)
    _check_may_handle(by, user)
    if by is not None and by.id == user_id:
        raise UserError(_("You cannot deactivate yourself. Ask somebody else in the team."))
    if user.deactivated_at is not None:
        return
    _change(user, _is_active_and_not_last(user_id), deactivated_at=utcnow())
    drop_logins(user_id)
    record_action("user.deactivated", _target(user))
    db.session.commit()


def reactivate(user_id: int, *, by: User | None) -> None:
    """Let a deactivated person log in again. Commits; harmless to repeat. Raises NotFound, Forbidden, Conflict."""
    user = find_person(user_id)
    _check_may_handle(by, user)
    if user.deactivated_at is None:
        return
    _change(user, User.deactivated_at.is_not(None), deactivated_at=None)
    record_action("user.reactivated", _target(user))
    db.session.commit()


def end_logins(user_id: int, *, by: User) -> None:
    """End every log-in of a member. Commits; harmless to repeat. Raises NotFound, Forbidden."""
    user = find_person(user_id)
    _check_may_handle(by, user)
    drop_logins(user_id)
    record_action("user.logins_ended", _target(user))
    db.session.commit()


def remove_two_step(user_id: int, *, by: User | None) -> int:
    """Take away the second step of somebody who has lost it; returns the id of the mail that tells them. Commits.

    Their log-ins end; the password alone logs in again. Harmless to repeat, but for another mail. Raises NotFound,
    Forbidden.
    """
    user = find_person(user_id)
    _check_may_handle(by, user)
    forget_second_factor(user)
    drop_logins(user_id)
    mail = queue_two_step_notice(user, "removed")
    record_action("user.two_step_removed", _target(user))
    db.session.commit()
    return mail.id


def check_may_handle(user_id: int, *, by: User) -> User:
    """Return the person when `by` may change them. Raises NotFound, Forbidden."""
    user = find_person(user_id)
    _check_may_handle(by, user)
    return user


def _check_may_handle(by: User | None, user: User) -> None:
    if not may_handle(by, user.role):
        raise Forbidden(_("Only an owner can do this, since this person is an owner."))


def _check_may_give(by: User | None, role: Role | None) -> None:
    if not may_handle(by, role):
        raise Forbidden(_("You cannot give a role above your own."))


def _is_active_and_not_last(user_id: int) -> ColumnElement[bool]:
    lock_owners()
    return User.deactivated_at.is_(None) & somebody_else_owns(user_id)


def _change(user: User, *conditions: ColumnElement[bool], **values: Any) -> None:
    """Change the person if they still are what was decided on; says what stands in the way otherwise."""
    user_id, was_owner, seen = user.id, user.role == Role.OWNER, User.role.is_not_distinct_from(user.role)
    changed = db.session.execute(
        update(User).where(User.id == user_id, seen, *conditions).values(updated_at=utcnow(), **values)
    )
    if changed.rowcount == 1:  # type: ignore[attr-defined]
        return
    db.session.rollback()
    if was_owner:
        raise UserError(_("The last owner of this site must stay an owner."))
    raise Conflict(_("Somebody else has just changed this person. Look again before you decide."))


def _target(user: User) -> Target:
    return Target("user", user.id, user.email)
