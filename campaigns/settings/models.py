"""What an owner has had tried out: a test mail over a mail server, a look at the sending domain's records."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.database import BigId
from campaigns.extensions import db


class CheckKind(StrEnum):
    """What is tried."""

    TEST_MAIL = "test_mail"  # `about` is the mail server's name
    DOMAIN = "domain"  # `about` is the domain


class SettingsCheck(db.Model):  # type: ignore[name-defined,misc]
    """One try, asked for on a page and done by a task; `asked` is what it needs, `result` what came of it."""

    __tablename__ = "settings_check"
    __table_args__ = (Index("ix_settings_check_about", "kind", "about", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    about: Mapped[str] = mapped_column(String(300))
    asked: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
