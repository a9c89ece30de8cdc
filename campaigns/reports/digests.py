"""The daily digest for those who run the site: who gets one now, and what it tells.

It goes out at eight in the person's own zone, once for each of their dates: the row of the date and the outbox's row
are one transaction. A person who was not told at eight, because the machine was off, is told until two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from flask import current_app
from flask_babel import force_locale
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.models import User
from campaigns.audience.queries import count_receivers
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.compose.standings import standings_of
from campaigns.config import current_settings
from campaigns.delivery.queries import Totals, totals_of
from campaigns.extensions import db
from campaigns.languages import zone
from campaigns.mail.services import queue_mail
from campaigns.reports.attention import Attention, things_to_attend
from campaigns.reports.models import Digest
from campaigns.security import Role
from campaigns.site import current_site

HOUR: Final = 8
LATE_BY_AT_MOST: Final = timedelta(hours=6)
FIRST_LOOKS_BACK: Final = timedelta(days=1)
WORTH_READING_FOR: Final = timedelta(hours=16)
READERS: Final = (Role.OWNER, Role.ADMIN)


@dataclass(frozen=True)
class Ended:
    """A campaign that ended, with what to call it and its equation."""

    campaign: Campaign
    badge: str
    totals: Totals


@dataclass(frozen=True)
class DigestContent:
    """What one digest tells; `joined` and `left` are people in its time, `receiving` is how many there are now.

    What needs attention is `new` since the digest before, or `still_open`; `settled` counts what needs none any more.
    """

    ended: Sequence[Ended]
    new: Sequence[Attention]
    still_open: Sequence[Attention]
    settled: int
    joined: int
    left: int
    receiving: int

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.ended or self.new or self.still_open or self.settled or self.joined or self.left)

    @property
    def told(self) -> dict[str, list[str]]:
        """Return what the next digest has to know of this one."""
        return {"open": [thing.key for thing in (*self.new, *self.still_open)]}


def queue_digests() -> list[int]:
    """Put a digest in the outbox for everybody whose eight o'clock has come; returns the mails' ids. Commits by person.

    A repeat is harmless: each person's date has one row, with a mail or, when there was nothing to tell, without.
    """
    readers = select(User).where(User.role.in_(READERS), User.wants_digest.is_(True)).order_by(User.id)
    people = [user for user in db.session.scalars(readers) if user.can_log_in]
    queued = [_queue(user.id, morning) for user in people if (morning := _morning_of(user)) is not None]
    return [mail_id for mail_id in queued if mail_id is not None]


def digest_content(user: User, digest: Digest) -> DigestContent:
    """Return what a digest tells this person, in the language that is forced around the call."""
    ended = select(Campaign).where(Campaign.finished_at >= digest.tells_from, Campaign.finished_at < digest.tells_until)
    campaigns = db.session.scalars(ended.order_by(Campaign.finished_at)).all()
    standings, totals = standings_of(campaigns), totals_of([campaign.id for campaign in campaigns])
    attention, before = _attention_of(user), _told_before(digest)
    open_now = {thing.key for thing in attention}
    return DigestContent(
        ended=[Ended(each, standings[each.id].badge, totals[each.id]) for each in campaigns],
        new=[thing for thing in attention if thing.key not in before],
        still_open=[thing for thing in attention if thing.key in before],
        settled=len(before - open_now),
        joined=_count(User.created_at, digest),
        left=_count(User.unsubscribed_at, digest),
        receiving=count_receivers(),
    )


def _told_before(digest: Digest) -> set[str]:
    """Return the keys of what was open in this person's digest before."""
    earlier = Digest.user_id == digest.user_id, Digest.local_date < digest.local_date
    told = db.session.scalar(select(Digest.told).where(*earlier).order_by(Digest.local_date.desc()).limit(1))
    return set((told or {}).get("open", []))


def _morning_of(user: User) -> datetime | None:
    """Return today's eight o'clock where the person is, if it has come and is not long past."""
    now = utcnow()
    local = now.astimezone(zone(user.timezone or current_site().timezone))
    morning = local.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    is_time = morning <= now < morning + LATE_BY_AT_MOST and user.created_at < morning
    known = select(Digest.id).where(Digest.user_id == user.id, Digest.local_date == morning.date())
    return morning if is_time and db.session.scalar(known) is None else None


def _queue(user_id: int, morning: datetime) -> int | None:
    user, now = db.session.get_one(User, user_id), utcnow()
    last = db.session.scalar(select(func.max(Digest.tells_until)).where(Digest.user_id == user_id))
    digest = Digest(
        user_id=user_id, local_date=morning.date(), tells_from=last or now - FIRST_LOOKS_BACK, tells_until=now
    )  # fmt: skip
    language = user.language or current_site().language
    with force_locale(language):
        content = digest_content(user, digest)
    digest.told = content.told
    db.session.add(digest)
    try:
        db.session.flush()
        if not content.is_empty:
            digest.mail_id = queue_mail(
                kind="digest",
                to_address=user.email,
                language=language,
                expires_at=morning.astimezone(UTC) + WORTH_READING_FOR,
                context={"digest_id": digest.id},
            ).id
        mail_id = digest.mail_id
        db.session.commit()
    except IntegrityError:  # another worker has told this person today
        db.session.rollback()
        return None
    return mail_id


def _count(moment: Any, digest: Digest) -> int:
    within = moment >= digest.tells_from, moment < digest.tells_until
    return db.session.scalar(select(func.count()).select_from(User).where(*within)) or 0


def _attention_of(user: User) -> list[Attention]:
    """Ask the sources as the dashboard does; they make addresses of pages, which takes a request's surroundings."""
    base = urlsplit(current_settings().public_base_url)
    may, language = user.may, user.language or current_site().language
    with current_app.test_request_context(base_url=current_settings().public_base_url), force_locale(language):
        things = things_to_attend(may=may)
    return [_with_address(thing, f"{base.scheme}://{base.netloc}") for thing in things]


def _with_address(thing: Attention, origin: str) -> Attention:
    return replace(thing, url=f"{origin}{thing.url}" if thing.url else "")
