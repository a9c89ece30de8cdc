"""Tasks of the settings: what takes longer than a page may."""

from __future__ import annotations

from celery import shared_task

from campaigns.celery import enqueue
from campaigns.settings import checks


@shared_task(name="settings.run_check")
def run_check(check_id: int) -> None:
    """Send a test mail, or look at the sending domain's records."""
    checks.run_check(check_id)


@shared_task(name="settings.resume_checks", soft_time_limit=20, time_limit=30)
def resume_checks() -> None:
    """Start again what the queue forgot while somebody waits before the page."""
    for check_id in checks.forgotten_checks():
        enqueue(run_check, check_id)
