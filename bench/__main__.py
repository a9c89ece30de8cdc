"""`python -m bench`: measure, print, and save. `make bench` calls it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from bench import more
from bench.content import mail_size, plain_content
from bench.machine import describe_machine, is_busy
from bench.parts import BenchError, own_folder, sink_command
from bench.plot import draw_speed
from bench.report import RESULTS
from bench.sizes import measure_sizes
from bench.speed import databases, measure_speed
from bench.tables import MORE_HEAD, SPEED_HEAD, content_line, machine_line, more_rows, speed_rows, text_table
from campaigns.clock import utcnow
from campaigns.errors import CarillonError

TITLE: Final = "Mails a second, to a mail server on the same machine"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--recipients", type=click.IntRange(min=100), default=20_000, show_default=True, help="Of the comparison."
)
@click.option("--rounds", type=click.IntRange(1, 9), default=3, show_default=True, help="The median is reported.")
@click.option("--all", "everything", is_flag=True, help="Make all of the measures below too.")
@click.option("--freeze", is_flag=True, help="Seconds to freeze the largest audience.")
@click.option("--sizes", is_flag=True, help="Cost of a mail and a worker's memory, up to the largest audience.")
@click.option("--layout", is_flag=True, help="The same words in the site's own layout.")
@click.option("--resets", is_flag=True, help="Password resets asked for while a campaign runs.")
@click.option("--far", is_flag=True, help="A relay 50 ms away.")
@click.option("--no-speed", is_flag=True, help="Leave the comparison out.")
@click.option("--largest", type=click.IntRange(min=10_000), default=1_000_000, show_default=True)
@click.option("--save-to", type=click.Path(path_type=Path), help="Folder for the answers. [default: bench/results]")
def bench(*, recipients: int, rounds: int, no_speed: bool, save_to: Path | None, **chosen: Any) -> None:
    """Measure how fast Carillon is beside other ways, in one run on this machine."""
    _end_cleanly_on_signals()
    try:
        sink_command()
        machine = describe_machine()
        if is_busy(machine):
            say(f"Others are using this machine (load {machine['load_before']}): these numbers will mean little")
        results = {
            "measured_at": utcnow().isoformat(timespec="seconds"),
            "machine": machine,
            "recipients": recipients,
            "rounds": rounds,
            "mail_bytes": mail_size(plain_content()),
        }
        with own_folder() as folder:
            results["ways"] = [] if no_speed else measure_speed(recipients, rounds, folder, say)
            results["more"] = _measure_more(folder, recipients, **chosen)
    except (BenchError, CarillonError) as error:
        raise click.ClickException(str(error)) from error
    # The pages are made from what is saved there, so it is always a whole comparison.
    if save_to or not no_speed:
        save(results, save_to or RESULTS)
    show(results)


def save(results: dict[str, Any], folder: Path) -> None:
    """Write latest.json and, when the ways were compared, the drawing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    if results["ways"]:
        ways = sorted(results["ways"], key=lambda way: float(way["rate"]))
        (folder / "speed.svg").write_text(draw_speed(ways, TITLE, content_line(results)))


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    click.echo(f"\n{machine_line(results)}\n{content_line(results)}")
    if results["ways"]:
        click.echo(f"\n{text_table(SPEED_HEAD, speed_rows(results))}")
    if rows := more_rows(results):
        click.echo(f"\n{text_table(MORE_HEAD, rows)}")


def say(text: str) -> None:
    """Tell how far it is, beside the answer."""
    click.echo(text, err=True)


def _measure_more(folder: Path, recipients: int, *, everything: bool, largest: int, **chosen: bool) -> dict[str, Any]:
    kinds = list(databases(lambda _: None))
    best, tenth = kinds[-1], max(recipients, largest // 10)
    measures: dict[str, Callable[[], Any]] = {
        "freeze": lambda: more.measure_freeze(kinds, largest, folder, say),
        "sizes": lambda: measure_sizes(best, largest, folder, say),
        "layout": lambda: more.measure_layout(best, recipients, folder, say),
        "resets": lambda: more.measure_resets(best, tenth, folder, say),
        "far": lambda: more.measure_far(best, largest, folder, say),
    }
    return {name: measure() for name, measure in measures.items() if everything or chosen[name]}


def _end_cleanly_on_signals() -> None:
    """Let every `finally` run: processes end, databases and folders go away."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        with suppress(OSError):
            signal.signal(number, end)


if __name__ == "__main__":
    bench()
