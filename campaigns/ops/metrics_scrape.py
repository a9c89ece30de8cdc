"""One scrape: every part is asked at once and within a budget; what does not answer is missing, and said to be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import cast

from flask import Flask, current_app
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from campaigns.extensions import db
from campaigns.ops.metrics_campaigns import read_campaigns
from campaigns.ops.metrics_processes import read_processes, read_processes_of_workers
from campaigns.ops.metrics_site import read_outbox, read_queue_states, read_rates, read_throttles, read_workers

BUDGET_SECONDS = 1.5
READ_TIMEOUT_SECONDS = 1.4

Read = Callable[[], list[Metric]]
Answer = tuple[list[Metric], float]  # what was read, and in how many seconds

SITE_PARTS: dict[str, Read] = {
    "processes": read_processes,
    "campaigns": read_campaigns,
    "rates": read_rates,
    "throttles": read_throttles,
    "outbox": read_outbox,
    "queues": read_queue_states,
    "workers": read_workers,
}
MACHINE_PARTS: dict[str, Read] = {"processes": read_processes_of_workers}
FROM_DATABASE = frozenset({"campaigns", "rates", "outbox", "workers"})

logger = logging.getLogger(__name__)


class Scrape(Collector):
    """The parts of /metrics in one process.

    A part that hangs is waited for by every scrape but read only once: however long the database is away, there is one
    thread for each part and no more.
    """

    def __init__(self, app: Flask, parts: Mapping[str, Read]) -> None:
        self._app = app
        self._parts = parts
        self._executor = ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="metrics")
        self._asked: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Give every metric that could be read in time, and which part was and was not."""
        asked = {part: self._ask(part) for part in self._parts}
        wait(asked.values(), timeout=BUDGET_SECONDS)
        ok = GaugeMetricFamily("carillon_scrape_ok", "Whether a part of this page could be read.", labels=["part"])
        took = GaugeMetricFamily(
            "carillon_scrape_duration_seconds", "How long a part of this page took to read.", labels=["part"]
        )
        for part, future in asked.items():
            answer = _answer(part, future)
            ok.add_metric([part], answer is not None)
            if answer is not None:
                took.add_metric([part], answer[1])
                yield from answer[0]
        yield from (ok, took)

    def _ask(self, part: str) -> Future[Answer]:
        with self._lock:
            running = self._asked.get(part)
            if running is None or running.done():
                self._asked[part] = self._executor.submit(self._read, part)
            return self._asked[part]

    def _read(self, part: str) -> Answer:
        began = time.monotonic()
        with self._app.app_context():
            if part in FROM_DATABASE:
                _limit_patience()
            return self._parts[part](), time.monotonic() - began


def site_registry() -> CollectorRegistry:
    """Return what the web site answers with: this machine's processes and the whole site."""
    return _registry("carillon.scrape", SITE_PARTS)


def machine_registry() -> CollectorRegistry:
    """Return what a machine without a web site answers with: its processes."""
    return _registry("carillon.machine_scrape", MACHINE_PARTS)


def _registry(name: str, parts: Mapping[str, Read]) -> CollectorRegistry:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    scrape = cast("Scrape", app.extensions.get(name) or app.extensions.setdefault(name, Scrape(app, parts)))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(scrape)
    return registry


def _answer(part: str, future: Future[Answer]) -> Answer | None:
    if not future.done():
        logger.warning("the part %s of /metrics did not answer within %s s", part, BUDGET_SECONDS)
        return None
    error = future.exception()
    if error is not None:
        logger.warning("the part %s of /metrics could not be read: %s", part, type(error).__name__)
        return None
    return future.result()


def _limit_patience() -> None:
    """Have PostgreSQL give up a read that nobody waits for any more."""
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text(f"SET LOCAL statement_timeout = {int(READ_TIMEOUT_SECONDS * 1000)}"))
