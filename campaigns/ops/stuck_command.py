"""`flask stuck`: is anything stuck? For a monitor, by exit status."""

from __future__ import annotations

from datetime import timedelta

import click
from flask.cli import with_appcontext
from flask_babel import force_locale
from sqlalchemy.exc import SQLAlchemyError

from campaigns.clock import utcnow
from campaigns.ops.command_line import answer_json, tell
from campaigns.ops.stuck import DEFAULT_AFTER, Stuck, find_stuck
from campaigns.ops.stuck_words import StuckWords, in_words
from campaigns.presentation import format_duration

NOT_KNOWN = 2


@click.command("stuck")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
@click.option(
    "--after",
    type=click.IntRange(1, 86_400),
    default=int(DEFAULT_AFTER.total_seconds()),
    show_default=True,
    metavar="SECONDS",
    help="For how long a campaign, import or lease may stand still.",
)
@with_appcontext
@click.pass_context
def stuck(context: click.Context, *, as_json: bool, after: int) -> None:
    """Tell whether anything is stuck: what, about what, on which worker, since when, and what to do.

    The exit status is 0 when nothing is, 1 when something is, and 2 when it cannot be told, because the database is
    away.
    """
    with force_locale("en"):
        try:
            found = find_stuck(after=timedelta(seconds=after))
            lines = [in_words(each) for each in found]
        except SQLAlchemyError as error:
            tell(f"It cannot be told: the database cannot be used ({type(error).__name__}).")
            context.exit(NOT_KNOWN)
        if as_json:
            answer_json({"count": len(found), "stuck": [_as_json(*pair) for pair in zip(found, lines, strict=True)]})
        else:
            _tell_people(lines)
    context.exit(1 if found else 0)


def _tell_people(lines: list[StuckWords]) -> None:
    if not lines:
        click.echo("Nothing is stuck.")
        return
    click.echo("1 thing is stuck:" if len(lines) == 1 else f"{len(lines)} things are stuck:")
    for line in lines:
        about = f": {line.about.text}" if line.about.text else ""
        worker = f" on {line.worker}" if line.worker else ""
        since = f", for {format_duration((utcnow() - line.since).total_seconds())}" if line.since else ""
        click.echo(f"  {line.what}{about}{worker}{since}. {line.advice}")


def _as_json(found: Stuck, line: StuckWords) -> dict[str, object]:
    return {
        "kind": found.kind,
        "what": line.what,
        "task": found.task,
        "about": line.about.text,
        "url": line.about.url,
        "worker": line.worker,
        "since": line.since.isoformat() if line.since else None,
        "count": found.count,
        "advice": line.advice,
    }
