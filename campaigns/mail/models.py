"""The outbox: a row behind every single mail, written with what causes it, so that no queue can lose it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class OutboxState(StrEnum):
    """Where a single mail stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"  # refused for good
    EXPIRED = "expired"  # not sent in time; its link would not work any more


class OutboxMail(db.Model):  # type: ignore[name-defined,misc]
    """One mail to one person. The body is rendered when it is sent, from ids in `context`, never stored."""

    __tablename__ = "outbox_mail"
    __table_args__ = (
        Index("ix_outbox_mail_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_outbox_mail_created_at", "created_at"),
        # The Message-ID is made of the id, and links know their mail by it: no other mail is ever given it.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    to_address: Mapped[str] = mapped_column(String(254))
    language: Mapped[str] = mapped_column(String(8))
    context: Mapped[dict[str, Any]] = mapped_column(default=dict)
    group_key: Mapped[str | None] = mapped_column(String(64), index=True)  # what belongs together, e.g. one test send
    state: Mapped[str] = mapped_column(String(10), default=OutboxState.WAITING)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    settled_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(30))
    reply: Mapped[str | None] = mapped_column(String(300))
