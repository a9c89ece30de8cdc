"""Launches a mass mail the usual ways: `python -m bench.usual_launch tasks 1000`; tells the times as JSON."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import click
from celery import chord, group

from bench.usual_ways import add_up, make_people, send_batch, send_mail

BATCH: Final = 500
LIMIT_SECONDS: Final = 600


@click.command()
@click.argument("way", type=click.Choice(["tasks", "chord"]))
@click.argument("mails", type=int)
def launch(way: str, mails: int) -> None:
    """Publish the tasks; of a chord, wait for its callback."""
    people = make_people(mails)
    began = time.time()
    if way == "tasks":
        publish_tasks(people)
    else:
        run_chord(people)
    click.echo(json.dumps({"began": began, "ended": time.time()}))


def publish_tasks(people: list[dict[str, Any]]) -> None:
    """One task for each person."""
    for person in people:
        send_mail.delay(person)


def run_chord(people: list[dict[str, Any]]) -> None:
    """One task for each batch, and a callback that adds up."""
    batches = [people[start : start + BATCH] for start in range(0, len(people), BATCH)]
    result = chord(group(send_batch.s(batch) for batch in batches), add_up.s()).apply_async()
    assert result.get(timeout=LIMIT_SECONDS) == len(people)


if __name__ == "__main__":
    launch()
