"""A worker or beat that is newer than its database waits until `flask upgrade` has brought it up to date.

A service that is started again between the update of the program and `flask upgrade` would ask for columns that are not
there yet. It begins with nothing instead: its messages stay in their queues, and processes of the version before go on.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.signals import beat_init, worker_init
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from campaigns.database_version import lacking_revision, waits_for_upgrade

LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


@worker_init.connect
@beat_init.connect
def _hold_start(sender: Any, **_: Any) -> None:
    app: Flask | None = getattr(sender.app, "flask_app", None)
    if app is not None:
        with app.app_context():
            _wait_for_upgrade()


def _wait_for_upgrade() -> None:
    told = False
    while (stands := _known_to_lack()) is not None:
        if not told:
            logger.warning(waits_for_upgrade(stands))
            told = True
        time.sleep(LOOK_SECONDS)


def _known_to_lack() -> str | None:
    """Return where a database stands that is behind this version, else None; one that is away may come back right."""
    try:
        return lacking_revision()
    except SQLAlchemyError:
        return None
