"""Tasks of the outbox: one mail each, and the sweep behind them."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from campaigns.celery import enqueue
from campaigns.mail.services import deliver_mail, due_mails


@shared_task(bind=True, name="mail.send_mail", max_retries=None)
def send_mail(self: Task[Any, Any], mail_id: int) -> None:
    """Send one mail of the outbox; while the mail server is away or says "later", try again with growing pauses."""
    delivered = deliver_mail(mail_id)
    if delivered and delivered.retry_in_seconds:
        # The row says when as well: should this message be lost, the sweep takes over.
        raise self.retry(countdown=delivered.retry_in_seconds + 1)


@shared_task(name="mail.sweep_outbox", soft_time_limit=60, time_limit=90)
def sweep_outbox() -> None:
    """Start again what the queue forgot; a mail that is on its way twice is still sent once."""
    for mail_id in due_mails():
        enqueue(send_mail, mail_id)
