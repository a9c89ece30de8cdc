"""The mail to the admins when many tasks fail: one for many failures, and none about itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import queue_mail
from campaigns.mail.single import render_single_mail
from campaigns.ops.failed_tasks import NOTICE_MAIL, OPEN
from campaigns.ops.models import FailedTask, FailureNotice
from campaigns.ops.wording import task_words
from campaigns.security import Role
from campaigns.site import current_site

WINDOW = timedelta(hours=1)
QUIET = timedelta(hours=6)
THE_ROW = 1
MOST_TASKS = 10


def tell_admins_of_failures() -> list[int]:
    """Put a notice to every owner and admin into the outbox when FAILURE_NOTICE_AFTER tasks failed within an hour.

    At most one in six hours, unless what it told of has been settled since. Commits; returns the ids of the mails,
    empty when nothing is due. Of any number of calls at once, one wins.
    """
    since = utcnow() - WINDOW
    if not _are_many(since) or not _win():
        db.session.rollback()
        return []
    mails = [
        queue_mail(
            kind=NOTICE_MAIL,
            to_address=person.email,
            language=person.language or current_site().language,
            context={"since": since.isoformat(), "until": utcnow().isoformat()},
            expires_at=utcnow() + QUIET,
        )
        for person in _people()
    ]
    ids = [mail.id for mail in mails]
    db.session.commit()
    return ids


@mail_kind(NOTICE_MAIL)
def render_notice(mail: OutboxMail) -> MailContent | None:
    """Return how many tasks failed, by task; None when all have been settled meanwhile."""
    since, until = (datetime.fromisoformat(mail.context[name]) for name in ("since", "until"))
    counts = _counts(since, until)
    if not counts:
        return None
    return render_single_mail(
        "ops/failures",
        total=sum(count for _, count in counts),
        tasks=[(task_words(name), count) for name, count in counts[:MOST_TASKS]],
        others=sum(count for _, count in counts[MOST_TASKS:]),
        url=public_url("ops.jobs") + "#failed",
    )


def _are_many(since: datetime) -> bool:
    after = current_settings().failure_notice_after
    if not after:
        return False
    query = select(func.count()).select_from(FailedTask)
    counted = OPEN, FailedTask.is_counted.is_(True), FailedTask.failed_at >= since
    return int(db.session.scalar(query.where(*counted)) or 0) >= after


def _win() -> bool:
    """Note that the admins are told now, if it is time; tell whether this call is the one that did."""
    now = utcnow()
    told_of = select(FailedTask.id).where(OPEN, FailedTask.failed_at <= FailureNotice.told_at)
    is_time = or_(
        FailureNotice.told_at.is_(None),
        FailureNotice.told_at <= now - QUIET,
        ~exists(told_of.correlate(FailureNotice)),
    )
    _make_row()
    note = update(FailureNotice).where(FailureNotice.id == THE_ROW, is_time).values(told_at=now)
    return bool(db.session.execute(note.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]


def _make_row() -> None:
    if db.session.scalar(select(FailureNotice.id).where(FailureNotice.id == THE_ROW)) is None:
        try:
            db.session.add(FailureNotice(id=THE_ROW))
            db.session.commit()
        except IntegrityError:
            db.session.rollback()


def _people() -> Sequence[User]:
    may = User.role.in_([Role.OWNER, Role.ADMIN]), User.verified_at.is_not(None)
    return db.session.scalars(select(User).where(*may).order_by(User.id)).all()


def _counts(since: datetime, until: datetime) -> list[tuple[str, int]]:
    count = func.count()
    query = (
        select(FailedTask.name, count)
        .where(OPEN, FailedTask.is_counted.is_(True), FailedTask.failed_at.between(since, until))
        .group_by(FailedTask.name)
        .order_by(count.desc(), FailedTask.name)
    )
    return [(name, number) for name, number in db.session.execute(query)]
