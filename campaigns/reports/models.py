"""What reports keep: ledgers that do not add up, and the digests that admins got."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class LedgerDifference(db.Model):  # type: ignore[name-defined,misc]
    """An ended campaign whose ledger, counted row by row, is not what was recorded; gone once it is."""

    __tablename__ = "ledger_difference"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    found_at: Mapped[datetime] = mapped_column(default=utcnow)
    terms: Mapped[dict[str, Any]]  # term → [counted in the ledger, recorded]


class Digest(db.Model):  # type: ignore[name-defined,misc]
    """What one admin was told on one day of theirs; without a mail there was nothing to tell."""

    __tablename__ = "digest"
    # A mail that waits names it, and it goes with its reader: nobody else's is ever given the id.
    __table_args__ = (UniqueConstraint("user_id", "local_date"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    local_date: Mapped[date]
    tells_from: Mapped[datetime]
    tells_until: Mapped[datetime]
    told: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))  # keys of what was open
    mail_id: Mapped[int | None] = mapped_column(BigId)
