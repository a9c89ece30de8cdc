"""Tasks of accounts: what a request must not do itself, because the time it takes would tell who exists."""

from __future__ import annotations

from celery import shared_task

from campaigns.accounts.logins import record_refusals


@shared_task(name="accounts.record_refusals", soft_time_limit=60, time_limit=90)
def record_refused_logins() -> None:
    """Write in the activity log which passwords were refused that were to be those of people with a role."""
    record_refusals()
