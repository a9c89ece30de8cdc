"""What the report reads: the ledger itself, grouped. These pages are opened, not polled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, case, func, select

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.compose.models import Campaign
from campaigns.delivery.models import Delivery, DeliveryAttempt, DeliveryState, FrozenAudience, RateSample
from campaigns.extensions import db
from campaigns.reports.queries import RATE_WINDOW_SECONDS, ReasonCount, count_reasons
from campaigns.tracking.models import ANY_LINK, OPENING, TrackedVisit

PAGE_SIZE: Final = 50
DOMAINS_SHOWN: Final = 50
NAMED_UNCERTAIN: Final = 100
ROWS_PER_READ: Final = 2_000
MOST_CHART_POINTS: Final = 90
LEFT_OVER: Final = (DeliveryState.SKIPPED, DeliveryState.CANCELLED, DeliveryState.UNCERTAIN)


@dataclass(frozen=True)
class DomainCount:
    """What became of the mails to one domain."""

    domain: str
    recipients: int
    sent: int
    failed: int
    deferred: int
    uncertain: int

    @property
    def share_sent(self) -> float | None:
        """The part that was taken, of those that have been tried; None when none has."""
        tried = self.sent + self.failed
        return self.sent / tried if tried else None


@dataclass(frozen=True)
class TryCount:
    """How many tries had the same outcome for the same reason, of how many people, with one server's words for it."""

    outcome: str
    reason: str | None
    tries: int
    people: int
    reply: str | None


@dataclass(frozen=True)
class RateLine:
    """Mails per second over time: one value per `step_seconds`, from `start` on."""

    start: datetime
    step_seconds: int
    sent: Sequence[float]
    failed: Sequence[float]

    @property
    def times(self) -> list[datetime]:
        """The moment at which each value begins."""
        return [self.start + timedelta(seconds=self.step_seconds * index) for index in range(len(self.sent))]


@dataclass(frozen=True)
class PeoplePage:
    """One page of a campaign's rows, in the order of the ledger."""

    rows: Sequence[Delivery]
    after: int | None
    before: int | None


def refusals(campaign_id: int) -> Sequence[ReasonCount]:
    """Return refused recipients by reason."""
    return _reasons(campaign_id, DeliveryState.FAILED, DeliveryState.DEFERRED)


def refused_tries(campaign_id: int) -> Sequence[TryCount]:
    """Return every try that was not accepted by what came of it and why, those of people who got the mail later too."""
    tries = func.count().label("tries")
    people = func.count(DeliveryAttempt.position.distinct())
    kind = DeliveryAttempt.outcome, DeliveryAttempt.reason
    query = select(*kind, tries, people, func.min(DeliveryAttempt.reply)).group_by(*kind)
    ours = DeliveryAttempt.campaign_id == campaign_id, DeliveryAttempt.actor == ""
    rows = db.session.execute(query.where(*ours).order_by(tries.desc(), DeliveryAttempt.reason))
    return [TryCount(*row) for row in rows]


def not_sent(campaign_id: int) -> Sequence[ReasonCount]:
    """Return recipients who got nothing without a refusal: skipped, cancelled, uncertain."""
    return _reasons(campaign_id, *LEFT_OVER)


def exclusions(campaign_id: int) -> Sequence[ReasonCount]:
    """Return candidates who were left out, by reason; they come after the recipients in the ledger."""
    recipients = db.session.scalar(select(FrozenAudience.recipients).where(FrozenAudience.campaign_id == campaign_id))
    if recipients is None:
        return []
    return count_reasons(
        Delivery.campaign_id == campaign_id,
        Delivery.position > recipients,
        Delivery.state == DeliveryState.EXCLUDED,
    )


def uncertain_people(campaign_id: int) -> Sequence[Delivery]:
    """Return the people of whom it is not known whether they got the mail."""
    query = select(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.state == DeliveryState.UNCERTAIN)
    return db.session.scalars(query.order_by(Delivery.position).limit(NAMED_UNCERTAIN)).all()


def domains(campaign_id: int, *, limit: int | None = DOMAINS_SHOWN) -> Sequence[DomainCount]:
    """Return what became of the mails to each domain, the largest first."""
    domain = _domain_of(Delivery.address).label("domain")
    recipients = func.count().label("recipients")
    counted = (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.DEFERRED, DeliveryState.UNCERTAIN)
    query = (
        select(domain, recipients, *(func.sum(case((Delivery.state == state, 1), else_=0)) for state in counted))
        .where(Delivery.campaign_id == campaign_id, Delivery.state != DeliveryState.EXCLUDED)
        .group_by(domain)
        .order_by(recipients.desc(), domain)
        .limit(limit)
    )
    return [DomainCount(*row) for row in db.session.execute(query)]


def rate_line(campaign_id: int) -> RateLine | None:
    """Return mails per second from the first to the last sample; None when there is no sample."""
    rows = db.session.execute(
        select(RateSample.window_start, RateSample.sent, RateSample.failed)
        .where(RateSample.campaign_id == campaign_id)
        .order_by(RateSample.window_start)
    ).all()
    if not rows:
        return None
    start, last = rows[0].window_start, rows[-1].window_start
    windows = int((last - start).total_seconds()) // RATE_WINDOW_SECONDS + 1
    step_seconds = RATE_WINDOW_SECONDS * ceil(windows / MOST_CHART_POINTS)
    count = ceil(windows * RATE_WINDOW_SECONDS / step_seconds)
    sent, failed = [0.0] * count, [0.0] * count
    for row in rows:
        index = int((row.window_start - start).total_seconds()) // step_seconds
        # The last step is seldom full; dividing by all of it would look like a drop.
        seconds = min(step_seconds, windows * RATE_WINDOW_SECONDS - index * step_seconds)
        sent[index] += row.sent / seconds
        failed[index] += row.failed / seconds
    return RateLine(start, step_seconds, [round(v, 2) for v in sent], [round(v, 2) for v in failed])


def find_people(campaign_id: int, address: str, *, exact: bool) -> Sequence[Delivery]:
    """Return a campaign's rows whose address is, or begins with, this text.

    A person who changed their address since is found by the new one too: the row belongs to the user.
    """
    key = address.strip().lower()
    current = select(User.id).where(User.address_key == key)
    by_user = select(Delivery).where(Delivery.user_id.in_(current), Delivery.campaign_id == campaign_id)
    matches = (
        func.lower(Delivery.address) == key if exact else func.lower(Delivery.address).startswith(key, autoescape=True)
    )
    by_address = select(Delivery).where(Delivery.campaign_id == campaign_id, matches).order_by(Delivery.position)
    found = {row.position: row for query in (by_user, by_address.limit(PAGE_SIZE)) for row in db.session.scalars(query)}
    return list(found.values())


def why_not_there(address: str) -> tuple[User | None, Suppression | None]:
    """Return what is known of an address that a campaign does not hold: its user and its suppression."""
    key = address.strip().lower()
    user = db.session.execute(select(User).where(User.address_key == key)).scalar_one_or_none()
    return user, db.session.get(Suppression, key)


def people_page(
    campaign_id: int, *, states: Sequence[str], after: int | None = None, before: int | None = None
) -> PeoplePage:
    """Return up to PAGE_SIZE rows in these states (all when empty); `after` and `before` are positions."""
    query = select(Delivery).where(Delivery.campaign_id == campaign_id)
    if states:
        query = query.where(Delivery.state.in_(states))
    if before is not None:
        newest = query.where(Delivery.position < before).order_by(Delivery.position.desc()).limit(PAGE_SIZE + 1)
        found = list(db.session.scalars(newest))
        rows = found[:PAGE_SIZE][::-1]
        return PeoplePage(rows, before - 1 if rows else None, rows[0].position if len(found) > PAGE_SIZE else None)
    start = after or 0
    query = query.where(Delivery.position > start).order_by(Delivery.position).limit(PAGE_SIZE + 1)
    found = list(db.session.scalars(query))
    rows = found[:PAGE_SIZE]
    more = rows[-1].position if len(found) > PAGE_SIZE else None
    return PeoplePage(rows, more, rows[0].position if start and rows else None)


def count_people(campaign_id: int, *, states: Sequence[str] = ()) -> int:
    """Return how many rows `read_people` yields."""
    query = select(func.count()).select_from(Delivery).where(Delivery.campaign_id == campaign_id)
    return db.session.scalar(query.where(Delivery.state.in_(states)) if states else query) or 0


def read_people(campaign_id: int, *, states: Sequence[str] = ()) -> Iterator[Any]:
    """Yield every row of a campaign in these states, a few thousand at a time, for a file.

    `opened_at` and `clicked_at` are the person's first times; None where nothing is known.
    """
    opened, clicked = _first_time(OPENING), _first_time(ANY_LINK)
    after = 0
    while True:
        query = (
            select(
                Delivery.position, Delivery.address, Delivery.state, Delivery.reason, Delivery.attempts,
                Delivery.settled_at, Delivery.reply, opened.label("opened_at"), clicked.label("clicked_at"),
            )
            .where(Delivery.campaign_id == campaign_id, Delivery.position > after)
            .order_by(Delivery.position)
            .limit(ROWS_PER_READ)
        )  # fmt: skip
        rows = db.session.execute(query.where(Delivery.state.in_(states)) if states else query).all()
        db.session.rollback()
        yield from rows
        if len(rows) < ROWS_PER_READ:
            return
        after = rows[-1].position


def mails_of_user(user_id: int, *, before: int | None = None) -> Sequence[Any]:
    """Return (delivery, campaign) of one user, the newest campaign first: up to PAGE_SIZE + 1 from `before` on."""
    query = (
        select(Delivery, Campaign)
        .join(Campaign, Campaign.id == Delivery.campaign_id)
        .where(Delivery.user_id == user_id)
    )
    if before is not None:
        query = query.where(Delivery.campaign_id < before)
    return db.session.execute(query.order_by(Delivery.campaign_id.desc()).limit(PAGE_SIZE + 1)).all()


def _first_time(link: int) -> ScalarSelect[datetime]:
    """Return when a row's person first opened the mail or followed any link; machines' visits say nothing."""
    same_mail = TrackedVisit.campaign_id == Delivery.campaign_id, TrackedVisit.position == Delivery.position
    first_at = select(TrackedVisit.first_at).where(*same_mail, TrackedVisit.link == link, TrackedVisit.times > 0)
    return first_at.correlate(Delivery).scalar_subquery()


def _reasons(campaign_id: int, *states: DeliveryState) -> Sequence[ReasonCount]:
    return count_reasons(Delivery.campaign_id == campaign_id, Delivery.state.in_(states))


def _domain_of(address: Any) -> ColumnElement[str]:
    if db.engine.dialect.name == "sqlite":
        return func.lower(func.substr(address, func.instr(address, "@") + 1))
    return func.lower(func.split_part(address, "@", 2))
