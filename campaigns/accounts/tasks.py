"""Tasks of accounts: what a request must not do itself, because the time it takes would tell who exists."""

from __future__ import annotations

from celery import shared_task

from campaigns.accounts.logins import note_refusal


@shared_task(name="accounts.note_refused_login", soft_time_limit=20, time_limit=30)
def note_refused_login(user_id: int | None, ip_address: str) -> None:
    """Write in the activity log that a password was refused, if it was to be that of somebody with a role."""
    note_refusal(user_id, "password", ip_address=ip_address)
