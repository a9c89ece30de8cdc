"""The curve of users: counted every hour, kept hourly for 60 days and daily for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import case, delete, func, select
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression, UserCount
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.languages import zone

KEPT_HOURLY: Final = timedelta(days=60)
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class UserCurve:
    """Points at equal distances, the oldest first; None where nothing was counted."""

    times: Sequence[datetime]
    points: Sequence[UserCount | None]

    @property
    def is_empty(self) -> bool:
        """Whether there are fewer than two points to draw a line through."""
        return sum(point is not None for point in self.points) < 2


def count_users() -> dict[str, int]:
    """Count everybody for this hour; commits. An hour that has been counted stays as it is."""
    hour = _hour_of(utcnow())
    known = db.session.get(UserCount, hour)
    if known is not None:
        return {"users": known.users}
    row = _count(hour)
    users = row.users
    db.session.add(row)
    try:
        db.session.commit()
    except IntegrityError:  # another worker counted the same hour
        db.session.rollback()
    return {"users": users}


def thin_out_counts(zone_name: str) -> int:
    """Keep of each day that is more than 60 days ago its last hour alone; returns how many rows went. Commits."""
    place, limit = zone(zone_name), utcnow() - KEPT_HOURLY
    hours = list(db.session.scalars(select(UserCount.hour).where(UserCount.hour < limit).order_by(UserCount.hour)))
    last_of_day = {hour.astimezone(place).date(): hour for hour in hours}
    gone = sorted(set(hours) - set(last_of_day.values()))
    for start in range(0, len(gone), 500):
        db.session.execute(delete(UserCount).where(UserCount.hour.in_(gone[start : start + 500])))
        db.session.commit()
    return len(gone)


def user_curve(*, days: int, step: timedelta) -> UserCurve:
    """Return the last count in each step of the last `days`, beginning with the first step that has one."""
    end = _hour_of(utcnow()) + HOUR
    start = end - timedelta(days=days)
    rows = db.session.scalars(select(UserCount).where(UserCount.hour >= start).order_by(UserCount.hour))
    latest = {(row.hour - start) // step: row for row in rows}
    steps = range(min(latest, default=0), timedelta(days=days) // step)
    times = [min(start + step * (number + 1), end) - HOUR for number in steps]
    return UserCurve(times, [latest.get(number) for number in steps])


def _count(hour: datetime) -> UserCount:
    suppressed = Suppression.address_key.is_not(None)
    receives = User.verified_at.is_not(None) & User.unsubscribed_at.is_(None) & ~suppressed
    query = (
        select(
            User.language,
            func.count().label("users"),
            _how_many(User.verified_at.is_not(None)).label("verified"),
            _how_many(receives).label("receiving"),
            _how_many(User.unsubscribed_at.is_not(None)).label("unsubscribed"),
            _how_many(suppressed).label("suppressed"),
        )
        .select_from(User)
        .outerjoin(Suppression, Suppression.address_key == User.address_key)
        .group_by(User.language)
    )
    rows = db.session.execute(query).all()
    sums = ("users", "verified", "receiving", "unsubscribed", "suppressed")
    return UserCount(
        hour=hour,
        by_language={row.language or "": row.users for row in rows},
        **{name: sum(int(getattr(row, name)) for row in rows) for name in sums},
    )


def _how_many(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
