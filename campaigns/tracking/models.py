"""What came back of a campaign's mails: who opened and clicked, and how many of each."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.database import BigId
from campaigns.extensions import db

# A link is its number in the campaign, from 1 on. These two stand for what is no single link.
OPENING: Final = 0
ANY_LINK: Final = -1


class TrackedVisit(db.Model):  # type: ignore[name-defined,misc]
    """One recipient and one link: since when and how often; by the person, and by machines apart.

    `first_at` is the person's first time, or a machine's as long as only machines came. Neither addresses nor devices
    are kept. Goes with the person, and after its retention.
    """

    __tablename__ = "tracked_visit"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    link: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    first_at: Mapped[datetime]
    times: Mapped[int] = mapped_column(Integer)
    machine_times: Mapped[int] = mapped_column(Integer)


class TrackedTotal(db.Model):  # type: ignore[name-defined,misc]
    """How many people followed one link, and how often; counted as it happens, and kept for good."""

    __tablename__ = "tracked_total"

    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    link: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    people: Mapped[int] = mapped_column(Integer)
    times: Mapped[int] = mapped_column(Integer)
    machine_times: Mapped[int] = mapped_column(Integer)
