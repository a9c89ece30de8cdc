"""What the rest of the house asks of Sentry: where SENTRY_DSN is not set, nothing, and nothing of its SDK is loaded.

That is why `sentry.py` is named here and not imported: it takes 4 MB of each process.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from werkzeug.utils import import_string

from campaigns.config import Settings, current_settings


def start_sentry(settings: Settings) -> None:
    """Send this process's errors to SENTRY_DSN from now on, if it is set. Raises nothing."""
    if settings.sentry_dsn:
        _sentry().start_sentry(settings)


def told_to_sentry(job: str, *, rule: str, zone: str) -> AbstractContextManager[None]:
    """Return what tells Sentry that a job of the clock runs, as `sentry.told_to_sentry` does."""
    if not current_settings().sentry_dsn:
        return nullcontext()
    context: AbstractContextManager[None] = _sentry().told_to_sentry(job, rule=rule, zone=zone)
    return context


def tell_sentry_of_tick() -> None:
    """Tell Sentry that a message of beat came through, as `sentry.tell_sentry_of_tick` does."""
    if current_settings().sentry_dsn:
        _sentry().tell_sentry_of_tick()


def _sentry() -> Any:
    return import_string("campaigns.sentry")
