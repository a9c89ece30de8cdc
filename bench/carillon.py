"""Carillon as `make run` starts it, on a database with people in it, and one campaign over it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from bench.content import BASE_URL, SENDER, SENDER_NAME
from bench.databases import SQLITE, People, engine_of
from bench.parts import BenchError, Processes, Sink, free_port, own_environment, own_folder, start_redis
from bench.watched import Watch, Watched
from campaigns.compose.models import Campaign
from campaigns.config import Settings, load_settings
from campaigns.ops.heartbeats import Kind
from campaigns.ops.models import Heartbeat
from campaigns.ops.processes import ROOT, ProcessPlan, child_environment, working_processes
from campaigns.ops.up import readiness

POLL_SECONDS: Final = 0.2
READY_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class CampaignRun:
    """One campaign from launch to recorded totals, and what was seen of the processes that sent it."""

    mails: int
    seconds: float
    senders: Watched

    @property
    def rate(self) -> float:
        """Return the mails a second."""
        return self.mails / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Return what is saved of it."""
        cpu = self.senders.cpu_seconds
        return {
            "mails": self.mails,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "microseconds_per_mail": round(1e6 / self.rate, 1),
            "sender_cpu_microseconds_per_mail": None if cpu is None else round(cpu * 1e6 / self.mails, 1),
            "sender_peak_rss_mb": _rounded(self.senders.peak_rss_mb),
            "sender_peak_pss_mb": _rounded(self.senders.peak_pss_mb),
        }


class Installation:
    """A running installation of its own, whose mail goes to a sink (or to another port of this machine)."""

    def __init__(self, settings: Settings, processes: Processes, sink: Sink, engine: Engine, environ: dict[str, str]):
        self.settings = settings
        self.sink = sink
        self.engine = engine
        self._processes = processes
        self._environ = environ
        self._sent = 0  # by all campaigns until now, for the sink counts them together

    def start(self, *, sender_threads: int | None) -> None:
        """Start all processes of `make run`; with `sender_threads` one sending process that has as many threads."""
        plans = working_processes(self.settings)
        if sender_threads:
            plans = list(_with_one_sender(plans, sender_threads))
        for plan in plans:
            self._processes.start(plan)
        workers = sum("worker" in plan.arguments for plan in plans)
        self._processes.wait_for(lambda: self._is_ready(workers), seconds=READY_SECONDS, what="the workers")
        time.sleep(SETTLE_SECONDS)

    def send_campaign(self, layout: str, *, limit_seconds: float) -> CampaignRun:
        """Launch a campaign to everybody and wait for its totals. Raises BenchError when they do not come in time."""
        return self.finish_campaign(self.launch_campaign(layout), limit_seconds=limit_seconds)

    def launch_campaign(self, layout: str) -> Launched:
        """Launch a campaign to everybody."""
        watch = Watch(self._processes.pids("mail.bulk"))
        launched = run_inside(self._environ, "launch", layout)
        return Launched(int(launched["campaign"]), datetime.fromisoformat(launched["launched_at"]), watch)

    def finish_campaign(self, launched: Launched, *, limit_seconds: float) -> CampaignRun:
        """Wait for the totals, and hold them against what the sink has counted. Raises BenchError."""
        try:
            self._processes.wait_for(
                lambda: self._look(launched.campaign_id).finished_at is not None,
                seconds=limit_seconds,
                what="the totals of a campaign",
            )
        finally:
            watched = launched.watch.end()
        row = self._look(launched.campaign_id)
        sent = int(row.totals["sent"])
        self._sent += sent
        taken = self.sink.wait_for_count(self._sent, seconds=5)
        if sent != sum(row.totals.values()) or taken < self._sent:
            raise BenchError(f"the campaign did not go out as it should: {row.totals}, the sink took {taken}")
        seconds = (aware(row.finished_at) - launched.at).total_seconds()
        return CampaignRun(sent, seconds, watched)

    def state_of(self, campaign_id: int) -> str:
        """Return the state of a campaign as committed now."""
        return str(self._look(campaign_id).state)

    def _look(self, campaign_id: int) -> Any:
        time.sleep(POLL_SECONDS)
        query = select(Campaign.state, Campaign.finished_at, Campaign.totals).where(Campaign.id == campaign_id)
        with self.engine.connect() as connection:
            return connection.execute(query).one()

    def _is_ready(self, workers: int) -> bool:
        query = select(func.count()).where(Heartbeat.kind == Kind.WORKER)
        try:
            with self.engine.connect() as connection:
                reported = connection.execute(query).scalar_one()
        except SQLAlchemyError:
            return False
        return reported >= workers and readiness(self.settings) == {}


@dataclass(frozen=True)
class Launched:
    """A campaign that is on its way."""

    campaign_id: int
    at: datetime
    watch: Watch


@contextmanager
def installation(
    people: People, *, sender_threads: int | None = None, relay: list[str] | None = None, **extra: str
) -> Iterator[Installation]:
    """Start an installation on a copy of a database; everything of it is gone at the end.

    `relay` is the command line of a process that stands before the sink: it is given two ports, its own and the sink's.
    """
    with own_folder() as folder, people.copy(folder) as url:
        environ = installation_environment(folder, url if people.kind != SQLITE else None, **extra)
        with Processes(folder, own_environment()) as receiving:
            sink = Sink(receiving)
            environ["MAIL_PORT"] = str(_start_relay(receiving, relay, sink) if relay else sink.port)
            settings = load_settings(environ)
            engine = engine_of(url)
            with Processes(folder, child_environment(settings, environ)) as processes:
                start_redis(processes, settings)
                started = Installation(settings, processes, sink, engine, environ)
                started.start(sender_threads=sender_threads)
                yield started
            engine.dispose()


def installation_environment(folder: Path, database_url: str | None, **extra: str) -> dict[str, str]:
    """Return the settings of an installation in `folder`; without an address it uses its own SQLite file."""
    environ = own_environment(
        INSTANCE_DIR=str(folder),
        MAIL_SERVER="127.0.0.1",
        MAIL_DEFAULT_SENDER=f"{SENDER_NAME} <{SENDER}>",
        PUBLIC_BASE_URL=BASE_URL,
        PORT=str(free_port()),
        LOG_LEVEL="warning",
        LOG_FORMAT="text",
    )
    return {**environ, **({"DATABASE_URL": database_url} if database_url else {}), **extra}


def run_inside(environ: dict[str, str], *arguments: str, limit_seconds: float = 600) -> dict[str, Any]:
    """Run one command of `bench.inside` in an installation's environment; return its answer. Raises BenchError."""
    command = [sys.executable, "-m", "bench.inside", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=limit_seconds, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def aware(at: datetime) -> datetime:
    """Return a moment read from a database as UTC; SQLite keeps no zone."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _start_relay(processes: Processes, relay: list[str], sink: Sink) -> int:
    from_port = free_port()
    processes.start(ProcessPlan("relay", [*relay, str(from_port), str(sink.port)]))
    return from_port


def _with_one_sender(plans: Sequence[ProcessPlan], threads: int) -> Iterator[ProcessPlan]:
    senders = [plan for plan in plans if plan.name.startswith("mail.bulk")]
    for plan in plans:
        if plan is senders[0]:
            arguments = list(plan.arguments)
            arguments[arguments.index("-c") + 1] = str(threads)
            yield ProcessPlan(plan.name, arguments, plan.stage)
        elif plan not in senders:
            yield plan


def _rounded(megabytes: float | None) -> float | None:
    return None if megabytes is None else round(megabytes, 1)
