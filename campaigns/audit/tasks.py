"""Celery shells of the activity log."""

from __future__ import annotations

import logging

from celery import shared_task

from campaigns.audit.check_services import check_log
from campaigns.audit.sealing import seal

logger = logging.getLogger(__name__)


@shared_task(name="audit.seal", soft_time_limit=50, time_limit=60)
def seal_entries() -> None:
    """Put the entries of the last seconds into the chain."""
    seal()


@shared_task(name="audit.check", soft_time_limit=1700, time_limit=1800)
def check_entries() -> None:
    """Walk the whole chain; what is wrong shows on the dashboard."""
    verdict = check_log()
    if verdict.problem:
        logger.error("the activity log is broken: %s at entry %s", verdict.problem, verdict.sequence)
