"""`flask users …`: bring people in, and give somebody the keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from flask.cli import AppGroup

from campaigns.accounts.queries import find_user
from campaigns.accounts.services import create_admin
from campaigns.audience.import_files import ImportSummary, import_csv
from campaigns.celery import enqueue
from campaigns.mail.addresses import AddressError
from campaigns.mail.tasks import send_mail
from campaigns.ops.command_line import answer_json, operator_command, tell
from campaigns.security import Role
from campaigns.team.services import remove_two_step

users = AppGroup("users", help="Import people and appoint administrators.")


MOST_PROBLEMS_TOLD = 20


@users.command("import")
@click.argument(
    "path", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
@operator_command
def import_users(*, path: Path, as_json: bool) -> None:
    """Import people from a CSV file in UTF-8 or CP949; `-` is standard input.

    The columns email, name and language are known; every other column becomes a merge field. Rows that cannot be taken
    are named with their number and the reason, and do not stop the others. Importing the same file again is harmless;
    nobody's password or role is ever touched.
    """
    with _as_file(path) as file:
        summary = import_csv(file, on_progress=_tell_progress)
    if as_json:
        answer_json(summary.as_dict())
    else:
        _tell_summary(summary)


@contextmanager
def _as_file(path: Path) -> Iterator[Path]:
    """Give what can be read twice, for an import looks at all of it before it begins; a pipe is gone after once."""
    if path.is_file():
        yield path
        return
    with TemporaryDirectory() as folder, click.open_file(str(path), "rb") as source:
        copy = Path(folder) / "stdin.csv"
        with copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield copy


@users.command("create-admin")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.OWNER.value, show_default=True)
@click.option("--name", default="", help="The person's name.")
@operator_command
def create_administrator(*, email: str, role: str, name: str) -> None:
    """Give the person with the address EMAIL a role, adding them if need be.

    Prints a link, good once, with which they choose a password; someone who has a password keeps it.
    """
    try:
        user, link = create_admin(email, role, name)
    except AddressError as error:
        raise click.BadParameter(f"{email!r} is no address that mail can be sent to ({error}).") from error
    click.echo(f"{user.email} is now {role}.")
    click.echo(f"Choose a password here: {link}" if link else "They log in with the password they have.")


@users.command("remove-two-step")
@click.argument("email")
@operator_command
def remove_two_step_login(*, email: str) -> None:
    """Turn off two-step log-in for the person with the address EMAIL, who has lost app and recovery codes.

    For the only owner of a site; others ask an owner. Be sure that it is they who ask. A mail tells them.
    """
    user = find_user(email.strip().lower())
    if user is None:
        raise click.BadParameter(f"Nobody has the address {email!r}.")
    enqueue(send_mail, remove_two_step(user.id, by=None))
    click.echo(f"{user.email} logs in with the password alone.")


def _tell_progress(done: int, rows: int) -> None:
    tell(f"{done:,} of {rows:,} rows")


def _tell_summary(summary: ImportSummary) -> None:
    click.echo(
        f"{summary.rows:,} rows = {summary.added:,} added + {summary.updated:,} updated + "
        f"{summary.unchanged:,} unchanged + {summary.bad:,} not taken"
    )
    for row, value, reason in summary.problems[:MOST_PROBLEMS_TOLD]:
        click.echo(f"  row {row}: {reason} ({value})")
    if len(summary.problems) > MOST_PROBLEMS_TOLD:
        click.echo(f"  … and {summary.bad - MOST_PROBLEMS_TOLD:,} more; --json lists them")
