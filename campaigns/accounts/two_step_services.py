"""Two-step log-in turned on, used and turned off. Each function is one transaction."""

from __future__ import annotations

from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import delete

from campaigns.accounts import second_factor
from campaigns.accounts.logins import Visitor, begin_login, drop_logins
from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.passwords import verify_password
from campaigns.accounts.queries import find_half_login
from campaigns.accounts.sign_up import NOTICE_LIFETIME
from campaigns.audit.services import Target, person_actor, person_target, record_action
from campaigns.clock import utcnow
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import queue_mail


class WrongPassword(UserError):
    """The password is not the person's."""


class WrongCode(UserError):
    """The code is wrong, too old, or was used before."""


def begin_set_up(user_id: int, *, password: str) -> None:
    """Offer the person a secret for their app; an earlier offer is void. Commits. Raises WrongPassword."""
    user = db.session.get_one(User, user_id)
    _check_password(user, password)
    if user.two_step_at is None:
        second_factor.offer(user_id)
        db.session.commit()


def turn_on(user_id: int, *, code: str, keep_login_id: int | None) -> tuple[list[str], int]:
    """Turn two-step log-in on with a first code; returns the recovery codes and the id of the notice mail. Commits.

    Every other log-in ends: none of them has shown a code. Raises WrongCode.
    """
    user = db.session.get_one(User, user_id)
    if not second_factor.take_first_code(user_id, code):
        raise _wrong_code()
    user.two_step_at = utcnow()
    codes = second_factor.make_recovery_codes(user_id)
    drop_logins(user_id, keep_id=keep_login_id)
    mail = queue_two_step_notice(user, "on")
    record_action("user.two_step_turned_on", _target(user))
    db.session.commit()
    return codes, mail.id


def turn_off(user_id: int, *, password: str, code: str) -> int:
    """Turn two-step log-in off with the password and a code; returns the id of the notice mail. Commits.

    Raises WrongPassword, WrongCode.
    """
    user = db.session.get_one(User, user_id)
    _check_password(user, password)
    _take_either(user_id, code)
    second_factor.forget(user)
    mail = queue_two_step_notice(user, "off")
    record_action("user.two_step_turned_off", _target(user))
    db.session.commit()
    return mail.id


def renew_recovery_codes(user_id: int, *, code: str) -> list[str]:
    """Return ten new recovery codes; those from before are void. Commits. Raises WrongCode."""
    if not second_factor.take_code(user_id, code):
        raise _wrong_code()
    codes = second_factor.make_recovery_codes(user_id)
    record_action("user.recovery_codes_made", _target(db.session.get_one(User, user_id)))
    db.session.commit()
    return codes


def finish_login(token: str, *, code: str, visitor: Visitor) -> User:
    """Turn a log-in that waits for its code into a whole one, with a new secret. Commits. Raises WrongCode."""
    half = _half_login(token)
    if not second_factor.take_code(half.user_id, code):
        raise _wrong_code()
    return _begin(half, visitor)


def finish_login_with_recovery_code(token: str, *, code: str, visitor: Visitor) -> tuple[User, int]:
    """Do as `finish_login` with a recovery code, which is used up; also returns the id of the notice mail. Commits.

    Raises WrongCode.
    """
    half = _half_login(token)
    if not second_factor.take_recovery_code(half.user_id, code):
        raise _wrong_code()
    mail = queue_two_step_notice(half.user, "recovery")
    record_action(
        "user.recovery_code_used",
        _target(half.user),
        by=person_actor(half.user_id, half.user.email, role=half.user.role),
    )
    return _begin(half, visitor), mail.id


def queue_two_step_notice(user: User, change: str) -> OutboxMail:
    """Add the mail that tells of a change ("on", "off", "removed", "recovery") to the caller's transaction."""
    return queue_mail(
        kind="two_step_changed",
        to_address=user.email,
        language=user.language or str(get_locale()),
        expires_at=utcnow() + NOTICE_LIFETIME,
        context={"user_id": user.id, "change": change},
    )


def _half_login(token: str) -> LoginSession:
    half = find_half_login(token)
    if half is None or not half.user.can_log_in:
        raise WrongCode(_("That took too long. Log in again."))
    return half


def _begin(half: LoginSession, visitor: Visitor) -> User:
    user, remember = half.user, half.is_remembered
    ended = db.session.execute(delete(LoginSession).where(LoginSession.id == half.id))
    if ended.rowcount != 1:  # type: ignore[attr-defined]
        db.session.rollback()
        raise WrongCode(_("That took too long. Log in again."))
    begin_login(user, remember=remember, visitor=visitor)
    db.session.commit()
    return user


def _take_either(user_id: int, code: str) -> None:
    if not second_factor.take_code(user_id, code) and not second_factor.take_recovery_code(user_id, code):
        raise _wrong_code()


def _check_password(user: User, password: str) -> None:
    if not verify_password(user.password_hash, password):
        raise WrongPassword(_("This is not your current password."))


def _wrong_code() -> WrongCode:
    """Roll back what was taken, if anything was, and say what may be wrong."""
    db.session.rollback()
    return WrongCode(_("This code is wrong, or it has been used. Type the one that the app shows now."))


def _target(user: User) -> Target:
    return person_target(user.id, user.email, role=user.role)
