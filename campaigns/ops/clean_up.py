"""Retention: what is deleted when nobody needs it any more. Campaigns and their ledger are never touched.

The inbox keeps its own limit (inbox.MOST_KEPT), log-ins and links theirs (accounts.services.clean_up), and so does the
curve of users (audience.user_counts.KEPT_HOURLY). The activity log lets go of its oldest
entries only (audit.check_services.remove_old_entries).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select

from campaigns.accounts.services import clean_up as clean_up_accounts
from campaigns.audience.models import UserImport
from campaigns.audience.user_counts import thin_out_counts
from campaigns.audit.check_services import remove_old_entries
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.delivery.models import DeliveryAttempt
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.ops.models import FailedTask
from campaigns.reports.models import Digest
from campaigns.settings.models import SettingsCheck
from campaigns.settings.server_services import renew_passwords
from campaigns.site import current_site
from campaigns.tracking.recording import remove_old_visits

OPEN_FAILURES_KEPT = timedelta(days=90)  # at least: as long as those that are dealt with, if that is longer
DIGESTS_KEPT = timedelta(days=90)  # that each was sent once for its date; the mails themselves are never stored
ROWS_AT_ONCE = 2_000  # so that nobody waits long for the database meanwhile


def clean_up() -> dict[str, int]:
    """Delete what is past its retention and return how many rows of each table; commits in small steps.

    Any number of times is harmless, and so is ending halfway.
    """
    clean_up_accounts()
    renew_passwords()
    now, settings = utcnow(), current_settings()
    mails_kept, imports_kept = timedelta(days=settings.keep_mails_days), timedelta(days=settings.keep_imports_days)
    rules: dict[Any, Callable[[datetime], ColumnElement[bool]]] = {
        OutboxMail: lambda at: OutboxMail.settled_at < at - mails_kept,
        FailedTask: _old_failure,
        UserImport: lambda at: UserImport.finished_at < at - imports_kept,
        DeliveryAttempt: lambda at: DeliveryAttempt.at < at - timedelta(days=settings.keep_attempts_days),
        SettingsCheck: lambda at: SettingsCheck.created_at < at - mails_kept,
        Digest: lambda at: Digest.tells_until < at - DIGESTS_KEPT,
    }
    deleted = {table.__tablename__: _delete_all(table, rule(now)) for table, rule in rules.items()}
    counts = thin_out_counts(current_site().timezone)
    visits = remove_old_visits()
    return {**deleted, "user_count": counts, "tracked_visit": visits, "audit_entry": remove_old_entries()}


def _old_failure(now: datetime) -> ColumnElement[bool]:
    kept = timedelta(days=current_settings().keep_failures_days)
    settled = and_(FailedTask.settled_at.is_not(None), FailedTask.settled_at < now - kept)
    return or_(settled, FailedTask.failed_at < now - max(kept, OPEN_FAILURES_KEPT))


def _delete_all(table: Any, condition: ColumnElement[bool]) -> int:
    deleted = 0
    while True:
        some = select(table.id).where(condition).order_by(table.id).limit(ROWS_AT_ONCE).scalar_subquery()
        result = db.session.execute(
            delete(table).where(table.id.in_(some)).execution_options(synchronize_session=False)
        )
        db.session.commit()
        count = int(result.rowcount)  # type: ignore[attr-defined]
        deleted += count
        if count < ROWS_AT_ONCE:
            return deleted
