"""Another address for an account: confirmed by a link that goes to it, and told to the old one."""

from __future__ import annotations

from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.account_links import ADDRESS_LIFETIME, LinkState, drop_links, issue_link
from campaigns.accounts.addresses import Address, parse_address
from campaigns.accounts.models import LinkPurpose, User
from campaigns.accounts.passwords import verify_password
from campaigns.accounts.sign_up import NOTICE_LIFETIME, LinkNotReady, stored_address, use_mailed_link
from campaigns.audit.services import mask, person_actor, person_target, record_action
from campaigns.clock import utcnow
from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.mail.services import queue_mail


def ask_for_address(user_id: int, address: Address, *, password: str) -> int:
    """Mail a link to the new address and return the id of the mail; nothing changes yet. Commits.

    Does the same whether somebody has the address or not; what its mailbox gets is decided when the mail is sent.
    Raises UserError when the password is wrong.
    """
    user = db.session.get_one(User, user_id)
    if not verify_password(user.password_hash, password):
        raise UserError(_("This is not your current password."))
    mail = queue_mail(
        kind="address_change_asked",
        to_address=stored_address(address),
        language=user.language or str(get_locale()),
        expires_at=utcnow() + ADDRESS_LIFETIME,
        context={"user_id": user_id},
    )
    issue_link(user_id, LinkPurpose.ADDRESS, lifetime=ADDRESS_LIFETIME, mail_id=mail.id, new_email=address.email)
    db.session.commit()
    return mail.id


def change_address(token: str) -> int:
    """Use the link and return the id of the mail that tells the old address. Commits.

    Links that were mailed to the old address die; log-ins go on. Raises LinkNotReady, also when somebody else has
    taken the address meanwhile.
    """
    link = use_mailed_link(token, LinkPurpose.ADDRESS)
    user, address = link.user, parse_address(link.new_email or "")
    old = user.email
    user.email, user.address_key = address.email, address.key
    try:
        db.session.flush()
    except IntegrityError as error:
        db.session.rollback()
        raise LinkNotReady(LinkState.EXPIRED) from error
    for purpose in LinkPurpose:
        drop_links(user.id, purpose)
    mail_id = _tell(user, old)
    _record(user, old)
    db.session.commit()
    return mail_id


def _tell(user: User, old: str) -> int:
    mail = queue_mail(
        kind="address_changed",
        to_address=old,
        language=user.language or str(get_locale()),
        expires_at=utcnow() + NOTICE_LIFETIME,
        context={"user_id": user.id},
    )
    return mail.id


def _record(user: User, old: str) -> None:
    """The log names people without a role by half, so it must not spell their addresses out here."""
    before, after = (old, user.email) if user.role else (mask(old), mask(user.email))
    record_action(
        "user.address_changed",
        person_target(user.id, user.email, role=user.role),
        before={"email": before},
        after={"email": after},
        by=person_actor(user.id, user.email, role=user.role),
    )
