"""The ledger: one row per candidate of a campaign, and the batches and rounds in which they are sent."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class DeliveryState(StrEnum):
    """Where one recipient's mail stands."""

    WAITING = "waiting"
    SENDING = "sending"  # claimed by a worker; content may be on its way
    SENT = "sent"  # the mail server has taken it
    FAILED = "failed"  # refused for good, or given up
    DEFERRED = "deferred"  # refused for now; tried again at next_attempt_at
    UNCERTAIN = "uncertain"  # handed to the mail server, answer unknown
    SKIPPED = "skipped"  # unsubscribed, suppressed or deleted after the freeze
    CANCELLED = "cancelled"
    EXCLUDED = "excluded"  # a candidate who is no recipient; the reason was written at the freeze


class Delivery(db.Model):  # type: ignore[name-defined,misc]
    """One candidate of one campaign. Recipients hold positions 1 to R; those excluded come after them.

    Neither its campaign nor its user is a foreign key: the freeze would look them up and lock them once for every row,
    which took most of its time. A campaign that has rows is never deleted, and its batches hold on to it. A user who is
    deleted leaves their rows by a trigger, and none is deleted while a freeze is under way (erasing.py).
    """

    __tablename__ = "delivery"
    # A user's own mails are looked up from their page, and when they are deleted; that index also keeps anybody from
    # being two rows of a campaign.
    __table_args__ = (Index("uq_delivery_user_id_campaign_id", "user_id", "campaign_id", unique=True),)

    campaign_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    user_id: Mapped[int | None] = mapped_column(BigId)  # None once they are deleted
    address: Mapped[str] = mapped_column(String(254))  # frozen; what was sent to stays known when the user changes
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(30))
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    token: Mapped[str | None] = mapped_column(String(32))  # the lease under which it was last claimed
    next_attempt_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    reply: Mapped[str | None] = mapped_column(String(300))  # the mail server's own words


class AttemptOutcome(StrEnum):
    """What came of one attempt, or what a person decided about it afterwards."""

    DEFERRED = "deferred"  # refused for now
    FAILED = "failed"  # refused for good, or for now when the time for trying again was up
    UNCERTAIN = "uncertain"
    RETURNED = "returned"  # nothing was handed over; it waits again as if it had not been tried
    LEFT = "left"  # a person leaves an uncertain mail as it is
    SENT_AGAIN = "sent_again"  # a person has an uncertain mail sent once more
    RETRIED = "retried"  # a person has a mail tried again that had failed for a time


class DeliveryAttempt(db.Model):  # type: ignore[name-defined,misc]
    """What the ledger's row forgets: every attempt but the accepted one, and every decision. Rows are only added.

    An accepted mail is told by its ledger row, so that a campaign that is taken at the first try adds nothing here.
    Written in the transaction that changes the row, by whoever wins it (attempts.py); forgotten with the person
    (erasing.py), and when it is old (the nightly clean-up).
    """

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index("ix_delivery_attempt_person", "campaign_id", "position"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(BigId)
    position: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]
    try_number: Mapped[int] = mapped_column(SmallInteger)
    outcome: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(30))
    worker: Mapped[str] = mapped_column(String(120), default="")  # host and process
    server: Mapped[str] = mapped_column(String(260), default="")  # the mail server that was asked
    phase: Mapped[str] = mapped_column(String(10), default="")  # the step of the dialogue it came to
    code: Mapped[int] = mapped_column(SmallInteger, default=0)  # 0: the server did not answer
    enhanced: Mapped[str] = mapped_column(String(11), default="")
    reply: Mapped[str | None] = mapped_column(String(300))  # as the ledger's row has it
    next_attempt_at: Mapped[datetime | None]
    actor: Mapped[str] = mapped_column(String(254), default="")  # who decided


class Batch(db.Model):  # type: ignore[name-defined,misc]
    """A range of positions that one task sends under one lease.

    The counts are the ledger's, taken in the transaction that changes it while the batch row is locked, so that
    progress pages read a few batches instead of a million rows and the equation is true at every instant.
    """

    __tablename__ = "batch"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first_position: Mapped[int] = mapped_column(Integer)
    last_position: Mapped[int] = mapped_column(Integer)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(String(120))
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)
    last_error: Mapped[str | None] = mapped_column(String(300))
    next_attempt_at: Mapped[datetime | None]  # the earliest of its deferred rows
    waiting: Mapped[int] = mapped_column(Integer, default=0)
    sending: Mapped[int] = mapped_column(Integer, default=0)
    sent: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    deferred: Mapped[int] = mapped_column(Integer, default=0)
    uncertain: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)
    cancelled: Mapped[int] = mapped_column(Integer, default=0)


class Round(db.Model):  # type: ignore[name-defined,misc]
    """One chord over the batches that had somebody waiting when it was planned."""

    __tablename__ = "round"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    batches: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class FrozenAudience(db.Model):  # type: ignore[name-defined,misc]
    """What the freeze counted: the terms of the equation that never change afterwards."""

    __tablename__ = "frozen_audience"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    candidates: Mapped[int] = mapped_column(Integer)
    excluded: Mapped[int] = mapped_column(Integer)
    recipients: Mapped[int] = mapped_column(Integer)
    frozen_at: Mapped[datetime]


class RateSample(db.Model):  # type: ignore[name-defined,misc]
    """How many mails of a campaign were settled in one ten-second window; feeds the rate and its chart."""

    __tablename__ = "rate_sample"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    sent: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)


class DatabaseHome(db.Model):  # type: ignore[name-defined,misc]
    """Where this database lives and how far it has come, so that a copy or an old backup notices; one row, id 1."""

    __tablename__ = "database_home"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(80))
    generation: Mapped[int] = mapped_column(BigId)  # grows with every sweep; the instance folder remembers it too


class RecurrenceState(StrEnum):
    """Where a repetition stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class Recurrence(db.Model):  # type: ignore[name-defined,misc]
    """A campaign of which a copy goes out by a rule, as clocks in its zone show it, once on each of its days."""

    __tablename__ = "recurrence"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), unique=True)
    state: Mapped[str] = mapped_column(String(10), default=RecurrenceState.ACTIVE)
    rule: Mapped[str] = mapped_column(String(60))  # five fields, see campaigns/crontab.py
    zone: Mapped[str] = mapped_column(String(64))
    until: Mapped[date | None]  # the last day, in its zone
    times_left: Mapped[int | None] = mapped_column(Integer)
    next_at: Mapped[datetime | None]  # None once it has ended
    started_by_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class OccurrenceState(StrEnum):
    """What became of one day of a repetition."""

    COPIED = "copied"  # its campaign is there and waits to be launched, in a moment
    LAUNCHED = "launched"
    SKIPPED = "skipped"  # by a person
    MISSED = "missed"  # too late to be sent unasked
    FAILED = "failed"  # its content cannot be sent


class Occurrence(db.Model):  # type: ignore[name-defined,misc]
    """One day of a repetition. Its key keeps anything from being sent twice for one date."""

    __tablename__ = "occurrence"
    __table_args__ = (Index("ix_occurrence_campaign_id", "campaign_id"),)

    recurrence_id: Mapped[int] = mapped_column(BigId, ForeignKey("recurrence.id", ondelete="CASCADE"), primary_key=True)
    local_date: Mapped[date] = mapped_column(primary_key=True)
    planned_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(10))
    campaign_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="SET NULL"))
    reason: Mapped[str] = mapped_column(String(300), default="")
