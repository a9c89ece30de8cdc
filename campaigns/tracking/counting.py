"""Counting visits behind their answers: whoever clicked is on their way before the database hears of it.

A process has one queue. The thread that has answered writes what waits, its own visit and others', and one thread does
so at a time. While the database is away visits wait, up to a number; what is over that, or still waits when the process
ends, is not counted.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from flask import Flask, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from campaigns.patience import is_connection_error
from campaigns.tracking.recording import record_visits
from campaigns.tracking.visits import Visit

MOST_WAITING: Final = 10_000
MOST_AT_ONCE: Final = 100  # in one transaction
AWAY_SECONDS: Final = 10.0  # how long a database that did not answer is not asked again
REPEAT: Final = timedelta(seconds=2)  # a double click is one, and whoever hammers on a link makes no work
REPEATS_KEPT: Final = 10_000

logger = logging.getLogger(__name__)


class VisitCounter:
    """The queue of one process. Safe to use from several threads."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._waiting: deque[Visit] = deque(maxlen=MOST_WAITING)
        self._writing = Lock()
        self._next_try = 0.0
        self._seen = _Repeats()

    def count_after(self, response: Response, visit: Visit) -> None:
        """Count a visit once its answer has left."""
        if not self._seen.is_repeat(visit):
            self._waiting.append(visit)
        response.call_on_close(self.write)

    def write(self) -> None:
        """Write all that waits, unless another thread does; what the database refuses is logged, and lost."""
        # Asked anew after each release: what came while we finished would otherwise wait for the next visit.
        while self._waiting and time.monotonic() >= self._next_try and self._writing.acquire(blocking=False):
            try:
                self._write_some()
            finally:
                self._writing.release()

    def _write_some(self) -> None:
        visits = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        try:
            with self._app.app_context():
                record_visits(visits)
        except (DBAPIError, PoolTimeout) as error:
            if is_connection_error(error):
                self._wait_with(visits)
            else:
                logger.exception("%s visits could not be counted", len(visits))

    def _wait_with(self, visits: list[Visit]) -> None:
        self._next_try = time.monotonic() + AWAY_SECONDS
        self._waiting.extendleft(reversed(visits))
        logger.warning("the database is away: %s visits wait to be counted", len(self._waiting))


class _Repeats:
    """What was visited within the last seconds."""

    def __init__(self) -> None:
        self._last: OrderedDict[object, datetime] = OrderedDict()
        self._lock = Lock()

    def is_repeat(self, visit: Visit) -> bool:
        key = (visit.mail, visit.link, visit.is_ahead)
        with self._lock:
            last = self._last.pop(key, None)
            self._last[key] = visit.at
            while len(self._last) > REPEATS_KEPT:
                self._last.popitem(last=False)
        # A clock that was set back makes no endless repeat.
        return last is not None and abs(visit.at - last) < REPEAT
