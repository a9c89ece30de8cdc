"""Every periodic job: how often, and why then. A job that runs twice, or misses its time, does no harm.

Beat itself knows seconds only. Its messages expire before the next, so that none pile up while no worker runs. What
people think of in local time is asked for every few seconds, and a row says whether it is due (periodic_jobs.py): so
two beats run it once, a missed night is made up for in the morning, and a changed zone needs no restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery.schedules import schedule

from campaigns.clock import steady_time
from campaigns.config import Settings


@dataclass(frozen=True)
class ClockJob:
    """A task with a rule of five fields, as clocks in the site's zone show it.

    `at_once` says that a new site does not wait for the first time.
    """

    task: str
    rule: str
    at_once: bool = False


CLOCK_JOBS: Final = (
    # Every entry is read and hashed, before retention takes away the oldest.
    ClockJob("audit.check", "30 2 * * *"),
    # The quiet hour: nobody launches, and a backup taken before it still holds what is deleted.
    ClockJob("ops.clean_up", "30 3 * * *"),
    # Often enough to see an import or a bad day in the curve, seldom enough for a million people to be counted.
    ClockJob("audience.count_users", "0 * * * *", at_once=True),
    # The quietest hour of the week, for what reads everything: the ledgers are recounted, and the database learns what
    # its tables look like. A week without it makes nothing wrong, only slower.
    ClockJob("ops.check_ledgers", "0 3 * * 0"),
)


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return beat's table."""
    return {
        # People who launch "at ten" expect ten, give or take a breath.
        "delivery.launch_due": _every("delivery.launch_due", seconds=10),
        # The same breath for campaigns that are repeated.
        "delivery.repeat_due": _every("delivery.repeat_due", seconds=10),
        # What a lost worker or a flushed broker left open is found within two of these.
        "delivery.reconcile": _every("delivery.reconcile", seconds=settings.reconcile_seconds),
        # Someone waits for that verification mail.
        "mail.sweep_outbox": _every("mail.sweep_outbox", seconds=10),
        # An import that a lost worker left goes on while its owner still looks at the page.
        "audience.resume_imports": _every("audience.resume_imports", seconds=60),
        # Eight in the morning comes at every quarter of an hour somewhere; nobody minds five minutes.
        "reports.send_digests": _every("reports.send_digests", seconds=300),
        # Proves the way from beat through the broker to a worker; the jobs page is red after a minute without it.
        "ops.beat_tick": _every("ops.beat_tick", seconds=10),
        # How soon a job below is noticed, and a changed zone; the rows are few.
        "ops.start_due_jobs": _every("ops.start_due_jobs", seconds=10),
        # Somebody waits before a page for that test mail.
        "settings.resume_checks": _every("settings.resume_checks", seconds=10),
        # Who looks at the log of a break-in that goes on wants to see it go on.
        "accounts.record_refusals": _every("accounts.record_refusals", seconds=10),
        # Until it is sealed an entry can be changed without a trace.
        "audit.seal": _every("audit.seal", seconds=10),
    }


def intervals(settings: Settings) -> dict[str, float]:
    """Return the seconds between two runs of each task that beat starts by itself."""
    return {entry["task"]: entry["schedule"].run_every.total_seconds() for entry in beat_schedule(settings).values()}


def _every(task: str, *, seconds: int) -> dict[str, Any]:
    # Beat that waits for a time of day would wait for an hour after a clock was put back by one.
    interval = schedule(timedelta(seconds=seconds), nowfun=steady_time)
    return {"task": task, "schedule": interval, "options": {"expires": seconds}}
