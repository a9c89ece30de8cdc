"""`flask audit …`: prove that the activity log is whole, and note how far it goes."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from campaigns.audit.check_services import check_log
from campaigns.audit.checking import Link
from campaigns.audit.sealing import read_head, seal
from campaigns.audit.wording import problem_words
from campaigns.ops.command_line import answer_json, operator_command

audit = AppGroup("audit", help="Prove that the activity log is whole.")


class PlaceOfChain(click.ParamType[Link]):
    """A place as `flask audit head` prints it."""

    name = "SEQ:HASH"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> Link:
        """Return the place."""
        number, _, own_hash = str(value).strip().partition(":")
        if not number.isdigit() or len(own_hash) != 64:
            self.fail(
                "expected a number, a colon and 64 letters, as `flask audit head` prints them", parameter, context
            )
        return Link(int(number), own_hash.lower())


@audit.command("verify")
@click.option("--expect", type=PlaceOfChain(), help="A head that was kept elsewhere; finds a tail that was cut off.")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
@operator_command
def verify(*, expect: Link | None, as_json: bool) -> None:
    """Walk the whole activity log and check every entry against its hash and the one before it.

    Ends with exit status 1 and says the first entry that is wrong. Whoever can write to the database can cut off the
    newest entries and set the head back; only --expect, with a head that was kept where they cannot reach it, shows
    that.
    """
    verdict = check_log(expect)
    if as_json:
        answer_json(verdict.as_dict())
    elif verdict.problem is None:
        click.echo(f"The activity log is whole: {verdict.entries:,} entries, through {verdict.head.sequence:,}.")
        if verdict.anchor.sequence:
            click.echo(f"Entries through {verdict.anchor.sequence:,} are past their retention and were removed.")
    else:
        click.echo(f"The activity log is broken: {problem_words(verdict.problem, verdict.sequence)}")
    if verdict.problem:
        raise SystemExit(1)


@audit.command("head")
@operator_command
def head() -> None:
    """Print the last entry's number and hash, to be kept where nobody who can write to the database can write."""
    seal()
    last = read_head()
    click.echo(f"{last.sequence}:{last.hash}")
