"""The other ways, each measured from its start until the sink has taken every mail."""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bench import usual_ways
from bench.content import SENDER
from bench.parts import BenchError, Processes, Sink, find_postfix_tool, own_environment, own_folder, start_redis
from campaigns.celery import kombu_url
from campaigns.config import load_settings
from campaigns.ops.processes import ROOT, ProcessPlan

DIFFERENT_MAILS: Final = 500
WARM_UP_MAILS: Final = 40
SOURCE_CONNECTIONS: Final = (1, 2, 4, 8)


@dataclass(frozen=True)
class WayRun:
    """One run of one way."""

    mails: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return the mails a second."""
        return self.mails / self.seconds


def send_by_task_per_mail(mails: int, cores: int, limit_seconds: float) -> WayRun:
    """One Celery task for each recipient, which opens a connection of its own: the usual pattern."""
    with _usual_workers(cores) as (environ, sink):
        before = sink.count()
        began = _publish(environ, "tasks", mails, limit_seconds)["began"]
        sent = sink.wait_for_count(before + mails, seconds=limit_seconds) - before
        return WayRun(sent, time.time() - began)


def send_by_chord_of_batches(mails: int, cores: int, limit_seconds: float) -> WayRun:
    """A chord of batches, each over one connection of Flask-Mail's; its callback adds up."""
    with _usual_workers(cores) as (environ, sink):
        before = sink.count()
        published = _publish(environ, "chord", mails, limit_seconds)
        if sink.wait_for_count(before + mails, seconds=5) != before + mails:
            raise BenchError(f"the chord says that {mails} mails were sent, the sink took {sink.count() - before}")
        return WayRun(mails, published["ended"] - published["began"])


def send_by_smtplib(mails: int, limit_seconds: float) -> WayRun:
    """The standard library over one connection that is kept, with mails built beforehand: no ledger, no queue."""
    with own_folder() as folder, Processes(folder, own_environment()) as processes:
        sink = Sink(processes)
        built = _built_mails()
        deadline = time.monotonic() + limit_seconds
        with smtplib.SMTP("127.0.0.1", sink.port) as connection:
            began = time.perf_counter()
            sent = 0
            while sent < mails and time.monotonic() < deadline:
                recipient, content = built[sent % len(built)]
                connection.sendmail(SENDER, [recipient], content)
                sent += 1
            run = WayRun(sent, time.perf_counter() - began)
        if sink.wait_for_count(sent, seconds=5) != sent:
            raise BenchError(f"smtplib sent {sent} mails, the sink took {sink.count()}")
        return run


def send_by_smtp_source(mails: int, size: int, limit_seconds: float) -> WayRun:
    """Postfix's smtp-source, in C, with mails of `size` octets: the best of 1, 2, 4 and 8 kept connections."""
    binary = find_postfix_tool("smtp-source")
    assert binary
    runs: list[WayRun] = []
    with own_folder() as folder, Processes(folder, own_environment()) as processes:
        sink = Sink(processes)
        for connections in SOURCE_CONNECTIONS:
            options = ["-d", "-s", str(connections), "-l", str(size), "-m", str(mails)]
            command = [binary, *options, "-f", SENDER, "-t", "person1@example.com", f"127.0.0.1:{sink.port}"]
            began = time.perf_counter()
            subprocess.run(command, check=True, timeout=limit_seconds)
            runs.append(WayRun(mails, time.perf_counter() - began))
            if sink.wait_for_count(mails * len(runs), seconds=5) != mails * len(runs):
                raise BenchError(f"smtp-source sent {mails * len(runs)} mails, the sink took {sink.count()}")
    return max(runs, key=lambda run: run.rate)


@contextmanager
def _usual_workers(cores: int) -> Iterator[tuple[dict[str, str], Sink]]:
    """Start the embedded Redis and as many worker processes as there are cores, and warm them up."""
    with own_folder() as folder, Processes(folder, own_environment()) as receiving:
        sink = Sink(receiving)
        settings = load_settings({"INSTANCE_DIR": str(folder)})
        start_redis(receiving, settings)
        environ = own_environment(BENCH_BROKER=kombu_url(settings.redis_url), BENCH_MAIL_PORT=str(sink.port))
        with Processes(folder, environ) as processes:
            arguments = ["-A", "bench.usual_ways", "worker", "-P", "prefork", "-c", str(cores)]
            processes.start(ProcessPlan("usual", [sys.executable, "-m", "celery", *arguments]))
            _publish(environ, "tasks", WARM_UP_MAILS, 60)
            processes.wait_for(lambda: sink.count() >= WARM_UP_MAILS, seconds=60, what="the usual workers")
            yield environ, sink


def _publish(environ: dict[str, str], way: str, mails: int, limit_seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.usual_launch", way, str(mails)]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_seconds
    )
    times: dict[str, float] = json.loads(done.stdout)
    return times


def _built_mails() -> list[tuple[str, bytes]]:
    people = usual_ways.make_people(DIFFERENT_MAILS)
    with usual_ways.flask_app.app_context():
        return [(person["email"], usual_ways.make_message(person).as_bytes()) for person in people]
