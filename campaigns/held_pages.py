"""A web process that is newer than its database says that it waits for `flask upgrade`, and goes on by itself.

Its pages would ask for columns that are not there yet. Workers wait likewise, before they begin: see ops/held_start.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from flask import Flask, current_app, request
from werkzeug.wrappers import Response as AnyResponse

from campaigns.database_version import lacking_revision, waits_for_upgrade
from campaigns.error_pages import answer_database_behind, leave_database_alone
from campaigns.stored_settings import refresh_settings

# What tells how this process is, and where the links of mails lead: these manage with whatever database there is.
_NOT_HELD: Final = {
    "static", "ops.healthz", "ops.readyz", "ops.metrics", "tracking.follow_link", "tracking.opening_picture",
}  # fmt: skip
_HOLD: Final = "carillon.hold"

logger = logging.getLogger(__name__)


@dataclass
class _Hold:
    """What this process knows: a database that was once up to date stays so, and is not asked again."""

    is_over: bool = False
    was_told: bool = False


def hold_until_upgraded(app: Flask) -> None:
    """Answer every page with 503 from now on, until the database has what this version needs."""
    app.extensions[_HOLD] = _Hold()
    app.before_request(_hold_request)


def _hold_request() -> AnyResponse | None:
    hold: _Hold = current_app.extensions[_HOLD]
    if hold.is_over or request.endpoint in _NOT_HELD:
        return None
    stands = lacking_revision()
    if stands is None:
        _end(hold)
        return None
    _tell_once(hold, stands)
    if request.endpoint == "set_language":
        leave_database_alone()
        return None
    return answer_database_behind()


def _end(hold: _Hold) -> None:
    if hold.was_told:
        refresh_settings(at_once=True)  # could not be read until now
    hold.is_over = True


def _tell_once(hold: _Hold, stands: str) -> None:
    if not hold.was_told:
        hold.was_told = True
        logger.warning(waits_for_upgrade(stands))
