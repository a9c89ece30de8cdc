"""The activity log's tables: entries are added and sealed, never changed, and one row says how far the chain goes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db

COMMAND_LINE: Final = "command line"  # the actor of what is done by a command


class AuditEntry(db.Model):  # type: ignore[name-defined,misc]
    """Who did what to which object, when, from where, and what was before and after.

    `sequence` and the hashes are empty until the entry is sealed into the chain, shortly after its transaction.
    Triggers refuse every other change; see triggers.py.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_at", "at"),
        # The list goes by the id, newest first, whichever filter is on.
        Index("ix_audit_entry_actor", "actor", "id"),
        Index("ix_audit_entry_action", "action", "id"),
        Index("ix_audit_entry_kind", "target_kind", "id"),
        Index("ix_audit_entry_target", "target_kind", "target_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    actor_id: Mapped[int | None] = mapped_column(BigId)  # no foreign key: the entry outlives the person
    actor: Mapped[str] = mapped_column(String(254))  # their address then, or the command or task that acted
    ip: Mapped[str] = mapped_column(String(45), default="")
    action: Mapped[str] = mapped_column(String(60))
    target_kind: Mapped[str] = mapped_column(String(40), default="")
    target_id: Mapped[str] = mapped_column(String(64), default="")
    target: Mapped[str] = mapped_column(String(254), default="")  # what it was called then
    before: Mapped[dict[str, Any]] = mapped_column(default=dict)
    after: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reason: Mapped[str] = mapped_column(String(300), default="")
    sequence: Mapped[int | None] = mapped_column(BigId, unique=True)
    previous_hash: Mapped[str] = mapped_column(String(64), default="")
    hash: Mapped[str] = mapped_column(String(64), default="")


class AuditHead(db.Model):  # type: ignore[name-defined,misc]
    """The two ends of the chain, and what the last check found; there is one row, with the id 1.

    `sequence` and `hash` are the last sealed entry's. The anchor is the last entry that retention has removed: what is
    left continues from it, and only what stands before it can be deleted.
    """

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, default=1)
    sequence: Mapped[int] = mapped_column(BigId, default=0)
    hash: Mapped[str] = mapped_column(String(64), default="")
    anchor_sequence: Mapped[int] = mapped_column(BigId, default=0)
    anchor_hash: Mapped[str] = mapped_column(String(64), default="")
    checked_at: Mapped[datetime | None]
    problem: Mapped[str] = mapped_column(String(20), default="")  # a checking.Problem; empty when all was well
    problem_sequence: Mapped[int | None] = mapped_column(BigId)
