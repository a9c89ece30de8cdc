"""A campaign: one announcement, its content, its launch and where it stands."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class CampaignState(StrEnum):
    """Where a campaign stands. The arrows are conditional updates in delivery/states.py and approval.py."""

    DRAFT = "draft"
    APPROVAL = "approval"  # launched, and waiting for a second person
    SCHEDULED = "scheduled"
    STARTING = "starting"  # launched, in the hold, can be taken back
    PREPARING = "preparing"  # the audience is being frozen
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


LOCKED_STATES = frozenset(CampaignState) - {CampaignState.DRAFT}
FINAL_STATES = frozenset({CampaignState.SENT, CampaignState.CANCELLED})


class Campaign(db.Model):  # type: ignore[name-defined,misc]
    """One announcement."""

    __tablename__ = "campaign"
    # Forms left open, mails that wait and the activity log name a draft that is deleted: no other is ever given its id.
    __table_args__ = (Index("ix_campaign_state", "state"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    state: Mapped[str] = mapped_column(String(10), default=CampaignState.DRAFT)
    subject: Mapped[str] = mapped_column(String(300), default="")
    preheader: Mapped[str] = mapped_column(String(300), default="")
    sender_name: Mapped[str] = mapped_column(String(120), default="")
    reply_to: Mapped[str] = mapped_column(String(254), default="")
    language: Mapped[str] = mapped_column(String(8), default="ko")
    body: Mapped[str] = mapped_column(Text, default="")  # Markdown with merge fields
    tracks_opens: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    tracks_clicks: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    version: Mapped[int] = mapped_column(Integer, default=1)  # counts saves; a save with an older number is refused
    archived_at: Mapped[datetime | None]
    is_repeated: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # copies go out by a rule
    tested_version: Mapped[int | None] = mapped_column(Integer)
    created_by_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)

    launch_key: Mapped[str | None] = mapped_column(String(64), unique=True)  # the launch form's key: a double click
    launched_by_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    launched_at: Mapped[datetime | None]
    scheduled_at: Mapped[datetime | None]
    schedule_zone: Mapped[str | None] = mapped_column(String(64))
    # The second person: how many people it was asked for, who approved this launch and when, why it was declined.
    approval_people: Mapped[int | None] = mapped_column(Integer)
    approved_by_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    approved_at: Mapped[datetime | None]
    declined_reason: Mapped[str] = mapped_column(String(300), default="", server_default="")
    # Of an ended campaign: what a second person is asked to approve (an action of delivery), for how many, by whom.
    reopening_asked: Mapped[str] = mapped_column(String(20), default="", server_default="")
    reopening_people: Mapped[int | None] = mapped_column(Integer)
    reopening_asked_by_id: Mapped[int | None] = mapped_column(BigId)  # no foreign key: it ends with the request
    not_after: Mapped[datetime | None]  # later than this a person decides, e.g. after a backup was restored
    hold_until: Mapped[datetime | None]
    compiled: Mapped[dict[str, Any] | None]  # the content as compiled at launch; later code changes don't reach it
    frozen_at: Mapped[datetime | None]
    reopened_at: Mapped[datetime | None]  # when an ended campaign went on for some; temporary refusals count from here
    pause_reason: Mapped[str] = mapped_column(String(300), default="")
    # While the mail server refuses us: why, since when, how often, and when the next round tries with one batch.
    trouble: Mapped[str | None] = mapped_column(String(30))
    trouble_reply: Mapped[str | None] = mapped_column(String(300))
    trouble_since: Mapped[datetime | None]
    trouble_tries: Mapped[int] = mapped_column(Integer, default=0)
    brake_failed_seen: Mapped[int] = mapped_column(Integer, default=0)  # what a person had seen when they went on
    brake_attempted_seen: Mapped[int] = mapped_column(Integer, default=0)
    next_round_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    totals: Mapped[dict[str, Any] | None]  # the ledger's counts as recorded when the campaign ended

    @property
    def is_editable(self) -> bool:
        """Whether its content may still change."""
        return self.state == CampaignState.DRAFT

    @property
    def begins_at(self) -> datetime | None:
        """When it goes out: as planned, unless it was launched or approved after that; None for a draft."""
        if self.launched_at is None:
            return None
        moments = self.launched_at, self.scheduled_at, self.approved_at
        return max(moment for moment in moments if moment is not None)
