"""Waiting for a database that is away, without losing what was to be written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from campaigns.extensions import db

Answer = TypeVar("Answer")

PATIENCE_SECONDS = 600
LONGEST_PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


def while_database_returns(write: Callable[[], Answer]) -> Answer:
    """Run one whole transaction, again and again while the database cannot be reached, for up to ten minutes.

    `write` must be harmless to repeat: a connection lost during COMMIT may have committed. Raises what the database
    raised last, and at once what is not about the connection.
    """
    deadline, pause_seconds = time.monotonic() + PATIENCE_SECONDS, 0.1
    while True:
        try:
            return write()
        except (DBAPIError, PoolTimeout) as error:
            db.session.rollback()
            if not is_connection_error(error) or time.monotonic() > deadline:
                raise
            logger.warning(
                "the database is away, trying again in %s s: %s", pause_seconds, getattr(error, "orig", error)
            )
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def is_connection_error(error: DBAPIError | PoolTimeout) -> bool:
    """Tell whether it failed for want of a connection, a lock or room, so that the same may succeed later.

    What the drivers call operational is not about the statement (PEP 249): a server that is starting, stopping, full,
    silent, out of locks, or that ended one transaction for another's sake.
    """
    if isinstance(error, PoolTimeout):
        return True
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
