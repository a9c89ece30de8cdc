"""Periodic tasks of the machinery."""

from __future__ import annotations

from celery import current_app, shared_task

from campaigns.backlog import enqueue_unhurried
from campaigns.ops.clean_up import clean_up
from campaigns.ops.heartbeats import Kind, forget_lost_processes, record_heartbeat
from campaigns.periodic_jobs import due_jobs, run_if_due
from campaigns.reports.ledger_checks import check_ledgers
from campaigns.sentry_if_set import tell_sentry_of_tick

DUE_AGAIN_SECONDS = 60  # a message that nobody takes in time is forgotten; the row is still due


@shared_task(name="ops.beat_tick", soft_time_limit=20, time_limit=30)
def beat_tick() -> None:
    """Note that a message of beat came through the broker to a worker, and forget processes that are long gone."""
    record_heartbeat("tick", kind=Kind.TICK)
    forget_lost_processes()
    tell_sentry_of_tick()


@shared_task(name="ops.start_due_jobs", soft_time_limit=20, time_limit=30)
def start_due_jobs() -> None:
    """Start the jobs of the clock that are due; each claims its row first, so a second message does nothing."""
    for name in due_jobs():
        enqueue_unhurried(current_app.tasks[name], expires=DUE_AGAIN_SECONDS)


@shared_task(name="ops.clean_up", soft_time_limit=1500, time_limit=1800)
def run_clean_up() -> None:
    """Delete what is past its retention, when it is time."""
    run_if_due("ops.clean_up", lambda: {"deleted": sum(clean_up().values())})


@shared_task(name="ops.check_ledgers", soft_time_limit=1500, time_limit=1800)
def run_ledger_check() -> None:
    """Recount what the ledgers hold, and let the database look at its tables, when it is time."""
    run_if_due("ops.check_ledgers", check_ledgers)
