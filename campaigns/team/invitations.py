"""Invitations: what the link in somebody's hands is worth, and what pressing its button does.

Each function that changes something is one transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.account_links import drop_links
from campaigns.accounts.addresses import Address
from campaigns.accounts.logins import drop_logins
from campaigns.accounts.models import LinkPurpose, User
from campaigns.accounts.passwords import hash_password
from campaigns.accounts.queries import find_user
from campaigns.audit.services import Actor, Target, record_action
from campaigns.clock import utcnow
from campaigns.database import LARGEST_ID
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.extensions import db
from campaigns.links import sign, unsign
from campaigns.mail.services import queue_mail
from campaigns.security import Role
from campaigns.team.models import Invitation
from campaigns.team.policy import may_handle

LIFETIME = timedelta(days=7)
PURPOSE = "team.invitation"


class InvitationState(StrEnum):
    """What an invitation is worth."""

    READY = "ready"
    USED = "used"
    EXPIRED = "expired"  # too old, cancelled, followed by a newer mail, or from somebody who may not invite any more
    UNKNOWN = "unknown"  # cut off or forged


@dataclass(frozen=True)
class OpenedInvitation:
    """A link as it was found; `invitation` is None only when the state is UNKNOWN."""

    state: InvitationState
    invitation: Invitation | None


def invite(address: Address, role: Role, *, name: str, language: str, by: User) -> int:
    """Ask an address into the team and return the id of the mail. Commits.

    An earlier invitation of the address is replaced, its link void. Raises Forbidden for a role above one's own,
    Conflict for somebody who is in the team already.
    """
    _check_may_give(by, role)
    known = find_user(address.key)
    if known is not None and known.role is not None:
        raise Conflict(_("This person is in the team already. Change the role on their page."))
    invitation = _find(address.key) or Invitation(address_key=address.key)
    # Mail goes to the address as its person wrote it, never to a look-alike that somebody typed.
    invitation.email = known.email if known else address.email
    invitation.name, invitation.role, invitation.language = name, role, language
    invitation.accepted_at = invitation.cancelled_at = None
    try:
        mail_id = _send(invitation, by)
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict(_("Somebody else has just invited this address.")) from error
    record_action("invitation.sent", _target(invitation), after={"role": role})
    db.session.commit()
    return mail_id


def resend(invitation_id: int, *, by: User) -> int:
    """Mail a new link and return the id of the mail; the link before is void. Commits. Raises NotFound, Forbidden."""
    invitation = _pending(invitation_id)
    _check_may_give(by, Role(invitation.role))
    mail_id = _send(invitation, by)
    record_action("invitation.sent_again", _target(invitation), after={"role": invitation.role})
    db.session.commit()
    return mail_id


def cancel(invitation_id: int, *, by: User) -> None:
    """Take an invitation back; its link is void. Commits. Raises NotFound, Forbidden, and Conflict when accepted."""
    invitation = _pending(invitation_id)
    _check_may_give(by, Role(invitation.role))
    if not _close(invitation, cancelled=True):
        db.session.rollback()
        raise Conflict(_("This invitation has just been accepted."))
    record_action("invitation.cancelled", _target(invitation))
    db.session.commit()


def list_invitations() -> Sequence[tuple[Invitation, InvitationState]]:
    """Return the invitations that nobody has accepted or taken back, the newest first, and what each is worth."""
    query = select(Invitation).where(Invitation.accepted_at.is_(None), Invitation.cancelled_at.is_(None))
    found = db.session.scalars(query.order_by(Invitation.sent_at.desc(), Invitation.id.desc())).all()
    return [(invitation, state_of(invitation)) for invitation in found]


def token_of(invitation: Invitation) -> str:
    """Return what the link of the newest mail carries."""
    return sign(PURPOSE, [invitation.id, invitation.nonce])


def open_invitation(token: str) -> OpenedInvitation:
    """Return what `token` is worth. Reads only: a mail scanner that follows links changes nothing."""
    payload = unsign(PURPOSE, token)
    invitation = db.session.get(Invitation, payload[0]) if payload else None
    if payload is None or invitation is None:
        return OpenedInvitation(InvitationState.UNKNOWN, None)
    if invitation.nonce != payload[1]:
        return OpenedInvitation(InvitationState.EXPIRED, invitation)
    return OpenedInvitation(state_of(invitation), invitation)


def state_of(invitation: Invitation) -> InvitationState:
    """Return what the newest link of an invitation is worth."""
    if invitation.accepted_at is not None:
        return InvitationState.USED
    still_may = invitation.invited_by is not None and may_handle(invitation.invited_by, invitation.role)
    is_open = invitation.cancelled_at is None and invitation.expires_at > utcnow()
    return InvitationState.READY if is_open and still_may else InvitationState.EXPIRED


def needs_password(invitation: Invitation) -> bool:
    """Tell whether whoever accepts has to choose a password: without one that they have proved to be theirs."""
    known = find_user(invitation.address_key)
    return known is None or not known.has_account


def accept(token: str, *, password: str | None) -> User:
    """Give the invited person the role, adding them if need be; their log-ins end. Commits.

    Whoever has the link has the mailbox, so the address counts as verified. `password` is for those who have none;
    a password that nobody has proved to be theirs counts as none. Raises Conflict when the link is no longer good.
    """
    opened = open_invitation(token)
    invitation = opened.invitation
    if opened.state is not InvitationState.READY or invitation is None or not _close(invitation, cancelled=False):
        db.session.rollback()
        raise Conflict(_("This invitation is no longer valid. Ask for another."))
    user = find_user(invitation.address_key) or _new_person(invitation)
    if not user.has_account:
        user.password_hash = hash_password(password or secrets.token_urlsafe(32))
    _take_in(user, invitation)
    record_action("invitation.accepted", _target(invitation), after={"role": user.role}, by=Actor(user.id, user.email))
    db.session.commit()
    return user


def _new_person(invitation: Invitation) -> User:
    user = User(
        email=invitation.email,
        address_key=invitation.address_key,
        name=invitation.name,
        language=invitation.language,
        # Asked to work here is not asked to receive: they take announcements themselves, on their account page.
        unsubscribed_at=utcnow(),
    )
    db.session.add(user)
    return user


def _take_in(user: User, invitation: Invitation) -> None:
    user.verified_at = user.verified_at or utcnow()
    user.name = user.name or invitation.name
    user.deactivated_at = None
    # Somebody who got a role meanwhile keeps it: an old invitation neither raises nor lowers.
    user.role = user.role or invitation.role
    db.session.flush()
    drop_links(user.id, LinkPurpose.VERIFY)
    drop_logins(user.id)


def _send(invitation: Invitation, by: User) -> int:
    now = utcnow()
    invitation.nonce, invitation.by_id = secrets.token_hex(16), by.id
    invitation.sent_at, invitation.expires_at = now, now + LIFETIME
    db.session.add(invitation)
    db.session.flush()
    mail = queue_mail(
        kind="team_invitation",
        to_address=invitation.email,
        language=invitation.language,
        expires_at=invitation.expires_at,
        context={"invitation_id": invitation.id},
    )
    return mail.id


def _close(invitation: Invitation, *, cancelled: bool) -> bool:
    """Accept or cancel within the caller's transaction; tells whether nobody else was first."""
    now = utcnow()
    closed = db.session.execute(
        update(Invitation)
        .where(
            Invitation.id == invitation.id,
            Invitation.nonce == invitation.nonce,
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
        )
        .values({"cancelled_at" if cancelled else "accepted_at": now})
    )
    return closed.rowcount == 1  # type: ignore[attr-defined,no-any-return]


def _find(address_key: str) -> Invitation | None:
    return db.session.execute(select(Invitation).where(Invitation.address_key == address_key)).scalar_one_or_none()


def _pending(invitation_id: int) -> Invitation:
    invitation = db.session.get(Invitation, invitation_id) if invitation_id <= LARGEST_ID else None
    if invitation is None or invitation.accepted_at or invitation.cancelled_at:
        raise NotFound(_("There is no such invitation any more."))
    return invitation


def _check_may_give(by: User, role: Role) -> None:
    if not may_handle(by, role):
        raise Forbidden(_("You cannot give a role above your own."))


def _target(invitation: Invitation) -> Target:
    return Target("invitation", invitation.id, invitation.email)
