"""Who receives: addresses that get nothing, and the imports that bring people in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Integer, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId, KeyText
from campaigns.extensions import db


class SuppressionReason(StrEnum):
    """Why an address gets nothing."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    BY_HAND = "by_hand"
    UNSUBSCRIBED = "unsubscribed"  # and deleted since, so that no later import brings them back


class Suppression(db.Model):  # type: ignore[name-defined,misc]
    """An address that gets no announcements, whatever its user row says; it outlives the user."""

    __tablename__ = "suppression"

    address_key: Mapped[str] = mapped_column(KeyText, primary_key=True)
    reason: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class UserField(db.Model):  # type: ignore[name-defined,misc]
    """The name of an attribute that people may have, so that nobody must read a million people to know the names."""

    __tablename__ = "user_field"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class ImportState(StrEnum):
    """Where an import stands."""

    WAITING = "waiting"
    CHECKING = "checking"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"


class UserImport(db.Model):  # type: ignore[name-defined,misc]
    """One CSV file of people: where it stands and what came of every row.

    `rows_done = added + updated + unchanged + bad` holds at every commit: the counts change in the transaction that
    saves the rows. `bytes_done` is where the next row begins in the stored copy, which is UTF-8 whatever the file was;
    whoever saves rows moves it on from the value that they read, so that of two at once only one can.
    """

    __tablename__ = "user_import"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    file_name: Mapped[str] = mapped_column(String(200))
    source_path: Mapped[str] = mapped_column(String(500))  # the upload, or the file that a command named
    stored_path: Mapped[str] = mapped_column(String(500), default="")  # the copy in UTF-8 that rows are saved from
    encoding: Mapped[str] = mapped_column(String(20), default="")
    layout: Mapped[dict[str, Any] | None]  # delimiter and columns, see import_columns.Layout
    state: Mapped[str] = mapped_column(String(10), default=ImportState.WAITING)
    error: Mapped[str] = mapped_column(String(40), default="")  # a FileProblem
    error_detail: Mapped[str] = mapped_column(String(300), default="")
    bytes_total: Mapped[int] = mapped_column(BigId, default=0)
    bytes_done: Mapped[int] = mapped_column(BigId, default=0)
    last_row: Mapped[int] = mapped_column(Integer, default=0)  # the number of the last row read, as spreadsheets count
    rows_total: Mapped[int] = mapped_column(Integer, default=0)  # without the column names and empty rows
    rows_done: Mapped[int] = mapped_column(Integer, default=0)
    added: Mapped[int] = mapped_column(Integer, default=0)
    updated: Mapped[int] = mapped_column(Integer, default=0)
    unchanged: Mapped[int] = mapped_column(Integer, default=0)
    bad: Mapped[int] = mapped_column(Integer, default=0)
    noted: Mapped[int] = mapped_column(Integer, default=0)  # rows taken of people who still get nothing
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)  # how often it was started again without getting on
    created_by_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    touched_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]

    @property
    def is_running(self) -> bool:
        """Whether it is still to end."""
        return self.state not in {ImportState.DONE, ImportState.FAILED}


class ImportProblem(db.Model):  # type: ignore[name-defined,misc]
    """One row of a file that was not taken, or taken with a reservation: its number, what stood there, and why."""

    __tablename__ = "import_problem"

    import_id: Mapped[int] = mapped_column(BigId, ForeignKey("user_import.id", ondelete="CASCADE"), primary_key=True)
    row_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    reason: Mapped[str] = mapped_column(String(40))  # a RowProblem
    is_note: Mapped[bool] = mapped_column(default=False)  # the row was taken, but the person still gets nothing
    value: Mapped[str] = mapped_column(Text, default="")


class UserCount(db.Model):  # type: ignore[name-defined,misc]
    """How many users there were in one hour, counted once; what was not counted is not guessed later."""

    __tablename__ = "user_count"

    hour: Mapped[datetime] = mapped_column(primary_key=True)  # UTC, on the hour
    users: Mapped[int] = mapped_column(Integer)
    verified: Mapped[int] = mapped_column(Integer)
    receiving: Mapped[int] = mapped_column(Integer)  # who would get an announcement
    unsubscribed: Mapped[int] = mapped_column(Integer)
    suppressed: Mapped[int] = mapped_column(Integer)  # users whose address is on the list of those who get nothing
    by_language: Mapped[dict[str, Any]] = mapped_column(default=dict)  # language ("" for none) → users
