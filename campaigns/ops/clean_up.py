"""Retention: what is deleted when nobody needs it any more. Campaigns and their ledger are never touched.

The inbox keeps its own limit (inbox.MOST_KEPT), and log-ins and links theirs (accounts.services.clean_up).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select

from campaigns.accounts.services import clean_up as clean_up_accounts
from campaigns.audience.models import UserImport
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.ops.models import FailedTask

SETTLED_FAILURES_KEPT = timedelta(days=30)
OPEN_FAILURES_KEPT = timedelta(days=90)
SETTLED_MAILS_KEPT = timedelta(days=30)
IMPORTS_KEPT = timedelta(days=90)  # with the rows that were not taken, which hold addresses
ROWS_AT_ONCE = 2_000  # so that nobody waits long for the database meanwhile


def clean_up() -> dict[str, int]:
    """Delete what is past its retention and return how many rows of each table; commits in small steps.

    Any number of times is harmless, and so is ending halfway.
    """
    clean_up_accounts()
    now = utcnow()
    rules: dict[Any, Callable[[datetime], ColumnElement[bool]]] = {
        OutboxMail: lambda at: OutboxMail.settled_at < at - SETTLED_MAILS_KEPT,
        FailedTask: _old_failure,
        UserImport: lambda at: UserImport.finished_at < at - IMPORTS_KEPT,
    }
    return {table.__tablename__: _delete_all(table, rule(now)) for table, rule in rules.items()}


def _old_failure(now: datetime) -> ColumnElement[bool]:
    settled = and_(FailedTask.settled_at.is_not(None), FailedTask.settled_at < now - SETTLED_FAILURES_KEPT)
    return or_(settled, FailedTask.failed_at < now - OPEN_FAILURES_KEPT)


def _delete_all(table: Any, condition: ColumnElement[bool]) -> int:
    deleted = 0
    while True:
        some = select(table.id).where(condition).limit(ROWS_AT_ONCE).scalar_subquery()
        result = db.session.execute(
            delete(table).where(table.id.in_(some)).execution_options(synchronize_session=False)
        )
        db.session.commit()
        count = int(result.rowcount)  # type: ignore[attr-defined]
        deleted += count
        if count < ROWS_AT_ONCE:
            return deleted
