"""The comparison: every way in turn, several rounds, in one run on one machine."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.carillon import installation
from bench.content import mail_size, plain_content
from bench.databases import POSTGRESQL, SQLITE, People, people_in, postgres_server
from bench.parts import find_postfix_tool
from bench.plain_ways import (
    WayRun,
    send_by_chord_of_batches,
    send_by_smtp_source,
    send_by_smtplib,
    send_by_task_per_mail,
)

USUAL_WAY: Final = "task_per_mail"
LIMIT_SECONDS: Final = 300.0
# A slow way gets fewer mails; what counts is its rate.
MOST_BY_TASKS: Final = 1_000
MOST_BY_CHORD: Final = 10_000
MOST_OVER_THE_WIRE: Final = 20_000

Say = Callable[[str], None]


@dataclass
class Way:
    """One way to send, and its runs so far."""

    key: str
    name: str
    send: Callable[[], WayRun]
    runs: list[WayRun] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the median rate and every run."""
        runs = [{"mails": run.mails, "seconds": round(run.seconds, 3)} for run in self.runs]
        rate = statistics.median(run.rate for run in self.runs)
        return {"key": self.key, "name": self.name, "rate": round(rate, 1), "runs": runs}


def measure_speed(recipients: int, rounds: int, folder: Path, say: Say) -> list[dict[str, Any]]:
    """Measure all ways in turn, `rounds` times, each round beginning with another one; return them as JSON."""
    with _all_ways(recipients, folder, say) as ways:
        for number in range(rounds):
            shift = number % len(ways)
            for way in [*ways[shift:], *ways[:shift]]:
                run = way.send()
                way.runs.append(run)
                say(f"{way.name}, round {number + 1} of {rounds}: {run.rate:,.0f} mails a second")
        return [way.to_json() for way in ways]


@contextmanager
def _all_ways(recipients: int, folder: Path, say: Say) -> Iterator[list[Way]]:
    ways = [*_flask_mail_ways(recipients), *_wire_ways(recipients, say)]
    with people_in(databases(say), recipients, folder) as all_people:
        yield [*ways, *(_carillon(people) for people in all_people)]


def _flask_mail_ways(recipients: int) -> list[Way]:
    cores = os.cpu_count() or 1
    by_tasks, by_chord = min(recipients, MOST_BY_TASKS), min(recipients, MOST_BY_CHORD)
    return [
        Way(
            USUAL_WAY,
            "One Celery task per mail, Flask-Mail",
            lambda: send_by_task_per_mail(by_tasks, cores, LIMIT_SECONDS),
        ),
        Way(
            "chord",
            "Celery chord of batches of 500, Flask-Mail",
            lambda: send_by_chord_of_batches(by_chord, cores, LIMIT_SECONDS),
        ),
    ]


def _wire_ways(recipients: int, say: Say) -> list[Way]:
    mails, size = min(recipients, MOST_OVER_THE_WIRE), mail_size(plain_content())
    ways = [
        Way(
            "smtplib",
            "smtplib, one kept connection, mails built beforehand",
            lambda: send_by_smtplib(mails, LIMIT_SECONDS),
        )
    ]
    if find_postfix_tool("smtp-source"):
        source = lambda: send_by_smtp_source(mails, size, LIMIT_SECONDS)  # noqa: E731 - one line among its like
        ways.append(Way("smtp_source", "Postfix smtp-source, in C, best of 1 to 8 connections", source))
    else:
        say("Skipped: smtp-source is not installed (it is part of Postfix)")
    return ways


def _carillon(people: People) -> Way:
    def send() -> WayRun:
        with installation(people) as running:
            run = running.send_campaign("plain", limit_seconds=LIMIT_SECONDS * 2)
        return WayRun(run.mails, run.seconds)

    name = "Carillon on PostgreSQL" if people.kind == POSTGRESQL else "Carillon on SQLite, everything embedded"
    return Way(f"carillon_{people.kind}", name, send)


def databases(say: Say) -> Sequence[str]:
    """Return the kinds of database that are here, the faster one last."""
    if postgres_server():
        return [SQLITE, POSTGRESQL]
    say("Skipped: PostgreSQL does not answer at 127.0.0.1:5432 (set TEST_POSTGRES_URL)")
    return [SQLITE]
