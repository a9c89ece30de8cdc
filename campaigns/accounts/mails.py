"""The mails about an account. Which one an address gets is decided here, in the worker, where nobody can time it.

Each renderer may be called again for the same mail, after a failed attempt: it then finds the same link.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from babel.dates import format_datetime
from flask_babel import force_locale, get_locale

from campaigns.accounts.account_links import (
    ADDRESS_LIFETIME,
    CHOOSE_LIFETIME,
    RESET_LIFETIME,
    VERIFY_LIFETIME,
    drop_links,
    link_of_mail,
)
from campaigns.accounts.models import LinkPurpose, User
from campaigns.accounts.queries import count_recovery_codes, find_user
from campaigns.audit.services import mask
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.languages import zone
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import queue_mail
from campaigns.mail.single import render_single_mail
from campaigns.site import current_site

REMIND_AFTER = timedelta(hours=24)
REMIND_UNTIL = timedelta(hours=72)


@mail_kind("sign_up_received")
def answer_sign_up(mail: OutboxMail) -> MailContent | None:
    """A link to verify a new address; to a known one, "you already have an account" or a link to set a password."""
    user = _person(mail)
    if user is None:
        return None
    if mail.context.get("is_new") and user.password_hash and not user.verified_at:
        if mail.attempts == 1:
            _plan_reminder(user, mail)
        return _verification(user, mail, "verify")
    return _settled_person(user, mail)


@mail_kind("verification_requested")
def answer_verification_request(mail: OutboxMail) -> MailContent | None:
    """Another link to verify an address; to others as if they had signed up again."""
    user = _person(mail)
    if user is None:
        return None
    if user.password_hash and not user.verified_at:
        return _verification(user, mail, "verify")
    return _settled_person(user, mail)


@mail_kind("verification_reminder")
def remind_of_verification(mail: OutboxMail) -> MailContent | None:
    """One reminder, a day later, to people who have not verified meanwhile."""
    user = _person(mail)
    if user is None or user.verified_at or not user.password_hash:
        return None
    return _verification(user, mail, "reminder")


@mail_kind("reset_requested")
def answer_reset_request(mail: OutboxMail) -> MailContent | None:
    """A link to choose a new password; nothing to an address that nobody here has."""
    user = _person(mail)
    if user is None:
        return None
    token = link_of_mail(user.id, LinkPurpose.RESET, lifetime=RESET_LIFETIME, mail_id=mail.id)
    return _with_link(user, "reset", "accounts.reset_password", token)


@mail_kind("password_changed")
def tell_of_new_password(mail: OutboxMail) -> MailContent | None:
    """That the password was changed, when, and what to do if it was somebody else."""
    user = db.session.get(User, mail.context["user_id"])
    if user is None:
        return None
    forgot_url = public_url("accounts.forgot_password")
    return _in_language_of(
        user, "password_changed", lambda: {"changed_at": _time_for(user, mail), "forgot_url": forgot_url}
    )


@mail_kind("two_step_changed")
def tell_of_two_step(mail: OutboxMail) -> MailContent | None:
    """That two-step log-in was turned on or off, taken away by an owner, or that a recovery code was used."""
    user = db.session.get(User, mail.context["user_id"])
    if user is None:
        return None
    values = {
        "change": mail.context["change"],
        "codes_left": count_recovery_codes(user.id),
        "account_url": public_url("accounts.account"),
        "forgot_url": public_url("accounts.forgot_password"),
    }
    return _in_language_of(user, "two_step_changed", lambda: {"changed_at": _time_for(user, mail), **values})


@mail_kind("address_change_asked")
def ask_new_address(mail: OutboxMail) -> MailContent | None:
    """A link to confirm a new address; to an address that has an account, that it cannot be another's."""
    user, known = db.session.get(User, mail.context["user_id"]), _person(mail)
    if user is None:
        return None
    if known is not None and known.id != user.id:
        return _in_language_of(known, "address_taken", lambda: {"login_url": public_url("accounts.login")})
    token = link_of_mail(user.id, LinkPurpose.ADDRESS, lifetime=ADDRESS_LIFETIME, mail_id=mail.id)
    return _with_link(user, "address", "accounts.confirm_address", token)


@mail_kind("address_changed")
def tell_old_address(mail: OutboxMail) -> MailContent | None:
    """To the old address: that the account has another one now, when, and whom to ask if it was somebody else."""
    user = db.session.get(User, mail.context["user_id"])
    if user is None:
        return None
    new_address = mask(user.email)
    return _in_language_of(
        user, "address_changed", lambda: {"changed_at": _time_for(user, mail), "new_address": new_address}
    )


def _settled_person(user: User, mail: OutboxMail) -> MailContent | None:
    """Answer a sign-up of somebody who is here already: with a password of their own, or still without."""
    if user.verified_at and user.verified_at >= mail.created_at:
        return None  # They have finished while this mail was on its way.
    if user.has_account:
        urls = {"login_url": public_url("accounts.login"), "forgot_url": public_url("accounts.forgot_password")}
        return _in_language_of(user, "already", lambda: urls)
    # An unverified password is anybody's: whoever signs up first with another's address must not find their password
    # confirmed by the rightful person's click. So the mailbox's owner chooses one, and nothing earlier counts.
    user.password_hash = None
    drop_links(user.id, LinkPurpose.VERIFY)
    token = link_of_mail(user.id, LinkPurpose.RESET, lifetime=CHOOSE_LIFETIME, mail_id=mail.id)
    return _with_link(user, "choose_password", "accounts.reset_password", token)


def _verification(user: User, mail: OutboxMail, name: str) -> MailContent | None:
    token = link_of_mail(user.id, LinkPurpose.VERIFY, lifetime=VERIFY_LIFETIME, mail_id=mail.id)
    return _with_link(user, name, "accounts.verify", token)


def _plan_reminder(user: User, mail: OutboxMail) -> None:
    """A row that the sweep looks at, never a message with a far-off time: Redis delivers those twice."""
    queue_mail(
        kind="verification_reminder",
        to_address=user.email,
        language=mail.language,
        expires_at=utcnow() + REMIND_UNTIL,
        send_after=utcnow() + REMIND_AFTER,
    )


def _person(mail: OutboxMail) -> User | None:
    return find_user(mail.to_address.lower())


def _with_link(user: User, name: str, endpoint: str, token: str | None) -> MailContent | None:
    if token is None:
        return None
    url = public_url(endpoint, token=token)
    return _in_language_of(user, name, lambda: {"url": url})


def _in_language_of(user: User, name: str, values: Callable[[], dict[str, Any]]) -> MailContent:
    with force_locale(user.language or str(get_locale())):
        return render_single_mail(f"accounts/{name}", **values())


def _time_for(user: User, mail: OutboxMail) -> str:
    place = zone(user.timezone or current_site().timezone)
    return format_datetime(mail.created_at, format="long", tzinfo=place, locale=get_locale())
