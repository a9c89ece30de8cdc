"""What runs: heartbeats of workers and beat, and the tasks that failed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class Heartbeat(db.Model):  # type: ignore[name-defined,misc]
    """The last sign of life of one process: a worker of a lane, or beat."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(String(160), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))  # worker or beat
    lanes: Mapped[str] = mapped_column(String(120), default="")
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    active: Mapped[int] = mapped_column(Integer, default=0)
    processed: Mapped[int] = mapped_column(Integer, default=0)


class FailedTask(db.Model):  # type: ignore[name-defined,misc]
    """A task that raised: what it was about, why, and how often; it can be run again from the jobs page."""

    __tablename__ = "failed_task"
    __table_args__ = (Index("ix_failed_task_failed_at", "failed_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reason: Mapped[str] = mapped_column(String(300))
    traceback: Mapped[str] = mapped_column(Text, default="")
    tries: Mapped[int] = mapped_column(Integer, default=1)
    failed_at: Mapped[datetime] = mapped_column(default=utcnow)
    settled_at: Mapped[datetime | None]  # run again, or set aside by a person
    settled_how: Mapped[str] = mapped_column(String(20), default="")
