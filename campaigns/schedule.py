"""What beat runs, how often, and why then. Every tick expires before the next and is harmless when it comes twice."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

from campaigns.config import Settings


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return beat's table. Times are seconds, or a crontab in UTC."""
    return {
        # People who launch "at ten" expect ten, give or take a breath.
        "delivery.launch_due": _every("delivery.launch_due", seconds=10),
        # What a lost worker or a flushed broker left open is found within two of these.
        "delivery.reconcile": _every("delivery.reconcile", seconds=settings.reconcile_seconds),
        # Someone waits for that verification mail.
        "mail.sweep_outbox": _every("mail.sweep_outbox", seconds=10),
        "audience.resume_imports": _every("audience.resume_imports", seconds=60),
        "ops.beat_tick": _every("ops.beat_tick", seconds=10),
        # The quiet hour before the Korean morning.
        "ops.clean_up": {
            "task": "ops.clean_up",
            "schedule": crontab(hour="18", minute="30"),
            "options": {"expires": 3600},
        },
    }


def _every(task: str, *, seconds: int) -> dict[str, Any]:
    return {"task": task, "schedule": float(seconds), "options": {"expires": seconds}}
