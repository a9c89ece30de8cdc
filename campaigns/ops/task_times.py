"""How long each task may run before it counts as stuck."""

from __future__ import annotations

from typing import Final

from celery import current_app

from campaigns.delivery.sending import BATCH_BUDGET_SECONDS

LONGEST_REPLY_SECONDS: Final = 900.0  # a mail server may take its time for one mail; so may the last of a batch
OTHERWISE_SECONDS: Final = 600.0


def expected_seconds(name: str) -> float:
    """Return how long a task of this name runs at most: its soft limit, or what it keeps to by itself."""
    kept = {
        "delivery.send_batch": BATCH_BUDGET_SECONDS + LONGEST_REPLY_SECONDS,
        "mail.send_mail": LONGEST_REPLY_SECONDS,
        "delivery.record_totals": OTHERWISE_SECONDS,
    }
    if name in kept:
        return kept[name]
    task = current_app.tasks.get(name)
    return float(getattr(task, "soft_time_limit", None) or OTHERWISE_SECONDS)
