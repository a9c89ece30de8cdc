"""What runs: heartbeats of workers and beat, the tasks that failed, and when that was told to the admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, text
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
    # Under "tasks", what it runs now, oldest first: id, name, arguments as text, since when (seconds since 1970).
    # Under "signed", its name signed with its SECRET_KEY.
    running: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class FailedTask(db.Model):  # type: ignore[name-defined,misc]
    """A task that did not end well: what it was about, how and why, where, how often; a person settles it.

    Reason and traceback are masked before they are stored; `group_key` is the same for failures of one task for one
    reason, numbers in it aside.
    """

    __tablename__ = "failed_task"
    __table_args__ = (
        Index("ix_failed_task_failed_at", "failed_at"),
        Index("ix_failed_task_group_key", "group_key"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    kind: Mapped[str] = mapped_column(String(20), default="raised", server_default="raised")  # a FailureKind
    reason: Mapped[str] = mapped_column(String(300))
    traceback: Mapped[str] = mapped_column(Text, default="")
    worker: Mapped[str] = mapped_column(String(120), default="", server_default="")
    tries: Mapped[int] = mapped_column(Integer, default=1)
    group_key: Mapped[str] = mapped_column(String(32), default="", server_default="")
    # Whether it counts towards the notice to the admins; a notice that fails must not lead to another.
    is_counted: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    failed_at: Mapped[datetime] = mapped_column(default=utcnow)
    settled_at: Mapped[datetime | None]  # run again, or set aside by a person
    settled_how: Mapped[str] = mapped_column(String(20), default="")


class FailureNotice(db.Model):  # type: ignore[name-defined,misc]
    """When the admins were last told by mail that tasks fail; one row, id 1."""

    __tablename__ = "failure_notice"

    id: Mapped[int] = mapped_column(primary_key=True)
    told_at: Mapped[datetime | None]
