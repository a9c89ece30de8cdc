"""Keeping a lease alive while its batch is being sent, and hearing of a pause, whatever the mail server is doing."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from campaigns.clock import steady_seconds
from campaigns.compose.models import CampaignState
from campaigns.config import Settings
from campaigns.delivery import ledger, stopping
from campaigns.delivery.claims import Lease
from campaigns.delivery.states import state_of

LOOK_SECONDS = 0.25  # how often we look whether this process has to end
STATE_SECONDS = 1.0  # how often we look whether the campaign still sends: a pause acts within two seconds
RENEWALS_PER_LEASE = 3

logger = logging.getLogger(__name__)


def worker_name() -> str:
    """Return host and process of this worker, as the progress page shows it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def lease_time(settings: Settings) -> timedelta:
    """Return how long a lease lasts without being renewed."""
    return timedelta(seconds=settings.lease_seconds)


class KeptLease:
    """A lease that a thread of its own renews until the block ends, and that knows when sending has to stop.

    `stop_reason` is "stopped" (this process ends), "halted" (paused or cancelled), "lease_lost" (the batch is in other
    hands, or the database was away for so long that it may be), or None. Once it is set nothing more
    may be handed over.
    """

    def __init__(self, lease: Lease, lease_for: timedelta, *, asked_at: float) -> None:
        """Take a lease that was asked for at `asked_at`, of `steady_seconds`: it began no earlier."""
        self.lease = lease
        self.stop_reason: str | None = None
        self._lease_for = lease_for
        self._renewed_at = asked_at
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._watch, args=(app,), daemon=True, name="keep-lease")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        assert self._thread is not None
        self._thread.join()

    def refuse_when_over(self) -> None:
        """Raise LeaseLost when the lease may soon be over by our own clock, and others may send to its people.

        `stop_reason` is too slow for that: after this process stood still, the thread that sets it wakes up no earlier
        than the one that sends.
        """
        if self._counts_as_lost:
            raise ledger.LeaseLost

    @property
    def _counts_as_lost(self) -> bool:
        """Whether a third of its time is left: clocks of machines differ, and what leaves now takes its time."""
        return self._age_seconds > self._lease_for.total_seconds() * (RENEWALS_PER_LEASE - 1) / RENEWALS_PER_LEASE

    @property
    def _age_seconds(self) -> float:
        return steady_seconds() - self._renewed_at

    def _watch(self, app: Flask) -> None:
        looked_at = time.monotonic()
        while not self._done.wait(LOOK_SECONDS) and self.stop_reason is None:
            if stopping.is_set():
                self.stop_reason = "stopped"
            elif time.monotonic() - looked_at >= STATE_SECONDS:
                looked_at = time.monotonic()
                self._look_at_database(app)

    def _look_at_database(self, app: Flask) -> None:
        try:
            with app.app_context():
                if state_of(self.lease.campaign_id) != CampaignState.SENDING:
                    self.stop_reason = "halted"
                elif self._age_seconds > self._lease_for.total_seconds() / RENEWALS_PER_LEASE:
                    self._renew()
        except SQLAlchemyError as error:
            logger.warning("a lease could not be renewed: %s", error)
            if self._counts_as_lost:
                self.stop_reason = "lease_lost"

    def _renew(self) -> None:
        asked_at = steady_seconds()
        if ledger.renew_lease(self.lease, lease_for=self._lease_for):
            self._renewed_at = asked_at
        else:
            self.stop_reason = "lease_lost"
