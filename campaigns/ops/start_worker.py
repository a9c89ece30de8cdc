"""`python -m celery_worker worker` and `python -m celery_worker beat`: the processes, without Celery's command line.

That one loads every command there is, among them Flower's and a shell with highlighting, into each worker: 20 MB that
a process which sends never uses. The options here mean what they mean there.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import click
from celery import Celery
from celery.utils.nodenames import default_nodename, host_format

from campaigns.celery import BULK, LANES

POOLS = click.Choice(["prefork", "threads", "solo"])
LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)
LOG_LEVEL = click.option("-l", "--loglevel", type=LEVELS, default="WARNING", help="Of what Celery prints at the start.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def start() -> None:
    """Start a process that works: a worker, or the timer."""


def _lanes(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str] | None:
    lanes = value.split(",") if value else None
    if lanes and not set(lanes) <= set(LANES):
        raise click.BadParameter(f"expected some of {', '.join(LANES)}, got {value!r}")
    return lanes


@start.command()
@click.option("-Q", "--queues", "lanes", default="", callback=_lanes, help="Lanes, comma separated.  [default: all]")
@click.option("-P", "--pool", "pool_cls", type=POOLS, default="prefork", show_default=True)
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks at once.  [default: one for each core]")
@click.option("-n", "--hostname", "name", default="", help="What the worker is called; %h is the machine's name.")
@click.option("-I", "--include", "modules", multiple=True, help="A further module with tasks.")
@LOG_LEVEL
@click.pass_obj
def worker(celery: Celery[Any], /, *, lanes: list[str] | None, name: str, modules: tuple[str], **rest: Any) -> None:
    """Work on tasks until told to stop; SIGTERM lets it finish what is on its way."""
    if lanes == [BULK]:
        celery.conf.include = ()  # the tasks of that lane are always loaded
    running = celery.Worker(
        hostname=host_format(default_nodename(name)),
        queues=lanes,
        include=list(modules),
        # Gossip and mingle are for workers that act on each other's events; ours speak through the database. Flower,
        # for whom alone there are events, takes a worker for gone whose heartbeats do not come.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not celery.conf.worker_send_task_events,
        **rest,
    )
    gc.freeze()  # what was loaded is left out of the search for garbage, now and at the end
    running.start()
    sys.exit(running.exitcode)


@start.command()
@LOG_LEVEL
@click.pass_obj
def beat(celery: Celery[Any], /, *, loglevel: str) -> None:
    """Start periodic tasks until told to stop; exactly one such process is needed."""
    timer = celery.Beat(loglevel=loglevel)
    gc.freeze()  # as for a worker
    timer.run()
