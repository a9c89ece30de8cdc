"""Periodic tasks of the machinery."""

from __future__ import annotations

import logging

from celery import shared_task

from campaigns.ops.clean_up import clean_up
from campaigns.ops.heartbeats import Kind, forget_lost_processes, record_heartbeat

logger = logging.getLogger(__name__)


@shared_task(name="ops.beat_tick", soft_time_limit=20, time_limit=30)
def beat_tick() -> None:
    """Note that a message of beat came through the broker to a worker, and forget processes that are long gone."""
    record_heartbeat("tick", kind=Kind.TICK)
    forget_lost_processes()


@shared_task(name="ops.clean_up", soft_time_limit=1500, time_limit=1800)
def run_clean_up() -> None:
    """Delete what is past its retention."""
    logger.info("cleaned up: %s", clean_up())
