"""Waiting for a database that is away, without losing what was to be written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

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
        except DBAPIError as error:
            db.session.rollback()
            if not is_connection_error(error) or time.monotonic() > deadline:
                raise
            logger.warning("the database is away, trying again in %s s: %s", pause_seconds, error.orig)
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def is_connection_error(error: DBAPIError) -> bool:
    """Tell whether the statement failed for want of a connection or a lock, so that the same may succeed later."""
    if error.connection_invalidated:
        return True
    name = type(error.orig).__name__
    # psycopg names its classes after SQLSTATE; these are a server that is starting, stopping, full, or out of locks.
    return name in {
        "OperationalError", "InterfaceError", "AdminShutdown", "CrashShutdown", "CannotConnectNow",
        "TooManyConnections", "SerializationFailure", "DeadlockDetected",
    }  # fmt: skip
