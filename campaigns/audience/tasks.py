"""Celery shells of imports: ids in, one call. The chain is check → save → report."""

from __future__ import annotations

from typing import Any, Final

from celery import Task, chain, shared_task

from campaigns.audience import imports
from campaigns.audience.user_counts import count_users
from campaigns.celery import enqueue
from campaigns.periodic_jobs import run_if_due

SAVE_SECONDS: Final = 200  # of rows at a time: well below the broker's patience with one message


def start_import(import_id: int) -> None:
    """Enqueue the chain of an import; should the queue be away, `resume_imports` does it later."""
    enqueue(chain(check_import.si(import_id), save_import.si(import_id), report_import.si(import_id)))


@shared_task(name="audience.check_import", soft_time_limit=540, time_limit=600)
def check_import(import_id: int) -> None:
    """Find out what the file holds."""
    imports.check_import(import_id)


# No limit of goes has to be said here: given to `retry`, None would mean the default of three.
@shared_task(bind=True, name="audience.save_import", max_retries=None, soft_time_limit=540, time_limit=600)
def save_import(self: Task[Any, Any], import_id: int) -> None:
    """Save the rows, in as many goes as it takes; the rest of the chain waits for the last."""
    if not imports.save_import(import_id, budget_seconds=SAVE_SECONDS):
        raise self.retry(countdown=0)


@shared_task(name="audience.report_import", soft_time_limit=30, time_limit=60)
def report_import(import_id: int) -> None:
    """Close the import."""
    imports.report_import(import_id)


@shared_task(name="audience.resume_imports", soft_time_limit=50, time_limit=60)
def resume_imports() -> None:
    """Start imports again that nobody has touched for a while, and remove files that a crash left behind."""
    for import_id in imports.find_left_alone():
        start_import(import_id)
    imports.remove_orphans()


@shared_task(name="audience.count_users", soft_time_limit=240, time_limit=300)
def run_user_count() -> None:
    """Count the users for the curve, when it is time."""
    run_if_due("audience.count_users", count_users)
