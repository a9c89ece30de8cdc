"""Celery shells of reports."""

from __future__ import annotations

from celery import shared_task

from campaigns.celery import enqueue
from campaigns.mail.tasks import send_mail
from campaigns.reports.digests import queue_digests


@shared_task(name="reports.send_digests", soft_time_limit=240, time_limit=290)
def send_digests() -> None:
    """Send the daily digest to everybody whose eight o'clock has come."""
    for mail_id in queue_digests():
        enqueue(send_mail, mail_id)
