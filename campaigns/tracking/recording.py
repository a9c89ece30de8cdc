"""Writing down what came back: one row for a person and a link, and the totals, which are counted as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Delete, bindparam, delete, select, text, update

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.config import current_settings
from campaigns.database import UtcDateTime
from campaigns.delivery.models import Delivery
from campaigns.delivery.tracking_tokens import MailKey
from campaigns.extensions import db
from campaigns.tracking.models import ANY_LINK, OPENING, TrackedTotal, TrackedVisit
from campaigns.tracking.visits import BURST, Visit, is_too_early, may_be_burst

ROWS_AT_ONCE = 2_000  # so that nobody waits long for the database meanwhile

_ADD_TO_TOTAL = text("""
    INSERT INTO tracked_total (campaign_id, link, people, times, machine_times)
    VALUES (:campaign_id, :link, :people, :times, :machine_times)
    ON CONFLICT (campaign_id, link) DO UPDATE SET
        people = tracked_total.people + excluded.people,
        times = tracked_total.times + excluded.times,
        machine_times = tracked_total.machine_times + excluded.machine_times
""")
_ADD_TO_VISIT = text("""
    INSERT INTO tracked_visit (campaign_id, position, link, user_id, first_at, times, machine_times)
    VALUES (:campaign_id, :position, :link, :user_id, :at, :times, :machine_times)
    ON CONFLICT (campaign_id, position, link) DO UPDATE SET
        first_at = CASE WHEN tracked_visit.times = 0 AND excluded.times > 0
                        THEN excluded.first_at ELSE tracked_visit.first_at END,
        times = tracked_visit.times + excluded.times,
        machine_times = tracked_visit.machine_times + excluded.machine_times
    RETURNING times
""").bindparams(bindparam("at", type_=UtcDateTime()))


@dataclass(frozen=True)
class _Recipient:
    """Whose visit it is, and when their mail was handed over; None as long as that is not settled."""

    user_id: int
    handed_over_at: datetime | None


def record_visits(visits: Sequence[Visit]) -> None:
    """Write visits down, by people and by machines; in one transaction, committed.

    Not those of people who were deleted, of what the campaign does not track, and of campaigns whose rows are gone:
    they would be counted as new.
    """
    for visit in sorted(visits, key=lambda each: each.mail.campaign_id):  # all processes lock in the same order
        _record(visit)
    db.session.commit()


def remove_old_visits() -> int:
    """Delete who opened and clicked in campaigns that ended too long ago; returns how many rows. Totals stay.

    Commits in small steps; any number of times is harmless.
    """
    ended = select(Campaign.id).where(Campaign.finished_at < _kept_since())
    with_rows = select(TrackedTotal.campaign_id).where(TrackedTotal.campaign_id.in_(ended)).distinct()
    return sum(_remove_visits(campaign_id) for campaign_id in db.session.scalars(with_rows).all())


def _record(visit: Visit) -> None:
    # The first statement writes: it lets the visits of a campaign in one by one, so that each sees those before it.
    _add_to_total(visit.mail.campaign_id, ANY_LINK if visit.link != OPENING else OPENING)
    recipient = _recipient_of(visit)
    if recipient is None:
        return
    is_machine = _is_machine(visit, recipient)
    for link in (OPENING,) if visit.link == OPENING else (visit.link, ANY_LINK):
        times = {"times": int(not is_machine), "machine_times": int(is_machine)}
        values = visit.mail._asdict() | {"link": link, "user_id": recipient.user_id, "at": visit.at} | times
        is_first = db.session.execute(_ADD_TO_VISIT, values).scalar_one() == 1 and not is_machine
        _add_to_total(visit.mail.campaign_id, link, people=int(is_first), **times)


def _recipient_of(visit: Visit) -> _Recipient | None:
    """Return whose visit it is; None when it does not count. The person cannot be deleted until we commit."""
    counts = Campaign.tracks_opens if visit.link == OPENING else Campaign.tracks_clicks
    row = db.session.execute(
        select(Delivery.user_id, Delivery.settled_at, Campaign.finished_at)
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(Delivery.campaign_id == visit.mail.campaign_id, Delivery.position == visit.mail.position, counts)
    ).one_or_none()
    if row is None or row.user_id is None or (row.finished_at and row.finished_at < _kept_since()):
        return None
    person = select(User.id).where(User.id == row.user_id).with_for_update(read=True, key_share=True)
    return _Recipient(row.user_id, row.settled_at) if db.session.scalar(person) else None


def _is_machine(visit: Visit, recipient: _Recipient) -> bool:
    handed_over_at = recipient.handed_over_at
    if visit.is_ahead or is_too_early(visit.at, handed_over_at=handed_over_at):
        return True
    if visit.link == OPENING or not may_be_burst(visit.at, handed_over_at=handed_over_at):
        return False
    return _is_burst(visit)


def _is_burst(visit: Visit) -> bool:
    """Tell whether another link of the same mail was followed within the last seconds; that was no person either."""
    just_now = list(_visits_since(visit.mail, visit.at - BURST))
    if not any(row.link not in {visit.link, OPENING, ANY_LINK} for row in just_now):
        return False
    for row in just_now:
        if row.times:
            _call_machine(row)
    return True


def _visits_since(mail: MailKey, since: datetime) -> Iterator[TrackedVisit]:
    same_mail = TrackedVisit.campaign_id == mail.campaign_id, TrackedVisit.position == mail.position
    query = select(TrackedVisit).where(*same_mail, TrackedVisit.first_at >= since).order_by(TrackedVisit.link)
    yield from db.session.scalars(query.execution_options(populate_existing=True))


def _call_machine(row: TrackedVisit) -> None:
    """Count what was taken for a person's visits as a machine's."""
    same_mail = TrackedVisit.campaign_id == row.campaign_id, TrackedVisit.position == row.position
    db.session.execute(
        update(TrackedVisit)
        .where(*same_mail, TrackedVisit.link == row.link)
        .values(times=0, machine_times=TrackedVisit.machine_times + row.times)
        .execution_options(synchronize_session=False)
    )
    _add_to_total(row.campaign_id, row.link, people=-1, times=-row.times, machine_times=row.times)


def _add_to_total(campaign_id: int, link: int, *, people: int = 0, times: int = 0, machine_times: int = 0) -> None:
    values = {"people": people, "times": times, "machine_times": machine_times}
    db.session.execute(_ADD_TO_TOTAL, {"campaign_id": campaign_id, "link": link, **values})


def _remove_visits(campaign_id: int) -> int:
    removed = 0
    while True:
        some = select(TrackedVisit.position).where(TrackedVisit.campaign_id == campaign_id)
        last = db.session.scalars(some.order_by(TrackedVisit.position).limit(ROWS_AT_ONCE)).all()
        if not last:
            return removed
        result = db.session.execute(_up_to(campaign_id, last[-1]))
        db.session.commit()
        removed += int(result.rowcount)  # type: ignore[attr-defined]


def _up_to(campaign_id: int, position: int) -> Delete:
    return (
        delete(TrackedVisit)
        .where(TrackedVisit.campaign_id == campaign_id, TrackedVisit.position <= position)
        .execution_options(synchronize_session=False)
    )


def _kept_since() -> datetime:
    return utcnow() - timedelta(days=current_settings().keep_tracking_days)
