"""Who is told of a request for a second person: those who may decide, and, once it has ended, whoever asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audit.services import this_actor
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import queue_mail
from campaigns.security import ROLE_RIGHTS, Right
from campaigns.site import current_site

MAIL_LIFETIME = timedelta(days=3)


class Decision(StrEnum):
    """How a request ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"  # a launch, by somebody else who may launch
    OVERTAKEN = "overtaken"  # the campaign went on in another way, or something else was asked for


def approvers(asked_by: int | None) -> Sequence[User]:
    """Return who may approve what this person asks for: everybody who may launch, but not the person."""
    roles = [role.value for role, rights in ROLE_RIGHTS.items() if Right.LAUNCH in rights]
    people = db.session.scalars(select(User).where(User.role.in_(roles)).order_by(User.id))
    return [user for user in people if user.id != asked_by and user.can_log_in]


def tell_approvers(campaign_id: int, asked_by: int | None) -> tuple[int, ...]:
    """Write mails to those who may approve, and return their ids. Commits."""
    asked = approvers(asked_by)
    mails = [_queue("approval_asked", campaign_id, user, {"user_id": user.id}) for user in asked]
    ids = tuple(mail.id for mail in mails)
    db.session.commit()
    return ids


def tell_asker(campaign_id: int, asked_by: int | None, decision: Decision, *, people: int | None = None) -> None:
    """Write a mail to whoever asked, unless they have ended it themselves; a step of the transaction that ends it.

    `people` is for how many an ended campaign was to go on; None for a launch. The edge enqueues it.
    """
    by = this_actor().id
    asker = db.session.get(User, asked_by) if asked_by is not None and asked_by != by else None
    if asker is None:
        return
    decided = {"decision": decision.value, "by_id": by}
    if people is None:
        _queue("approval_decided", campaign_id, asker, decided)
    else:
        _queue("reopening_decided", campaign_id, asker, {**decided, "people": people})


def approval_group(campaign_id: int) -> str:
    """Return the group key of a campaign's mails about approval."""
    return f"approval-{campaign_id}"


def _queue(kind: str, campaign_id: int, user: User, context: dict[str, Any]) -> OutboxMail:
    return queue_mail(
        kind=kind,
        to_address=user.email,
        language=user.language or current_site().language,
        expires_at=utcnow() + MAIL_LIFETIME,
        context={"campaign_id": campaign_id, **context},
        group_key=approval_group(campaign_id),
    )
