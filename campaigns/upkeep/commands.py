"""`flask doctor`, `flask backup`, `flask restore`, `flask upgrade`: keeping a site well, and moving it forward."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from campaigns.config import current_settings
from campaigns.findings import Finding, Level
from campaigns.ops.command_line import answer_json, operator_command, tell
from campaigns.upkeep.backups import Backup, forget_old_backups, make_backup, read_backup
from campaigns.upkeep.doctor import Wishes, examine
from campaigns.upkeep.restoring import Restored, restore
from campaigns.upkeep.upgrading import Upgraded, upgrade_site

JSON_HELP = "Answer with JSON on standard output."
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def register_commands(app: Flask) -> None:
    """Add these commands to `flask`."""
    for command in (backup, restore_backup, upgrade, doctor):
        app.cli.add_command(command)


@click.command("backup")
@click.option("--to", "folder", type=FOLDER, help="The folder to write to.  [default: backups/ in INSTANCE_DIR]")
@click.option("--keep", type=click.IntRange(min=1), help="Remove all but the newest N backups of the folder.")
@click.option("--check", "path", type=FILE, help="Make none; tell what this backup holds, and whether it is whole.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@with_appcontext
@operator_command
def backup(*, folder: Path | None, keep: int | None, path: Path | None, as_json: bool) -> None:
    """Write the whole site, as it is at one moment, into one file. The site runs on meanwhile.

    The file holds addresses and secrets; only its owner may read it. Keep copies of it on another machine.
    """
    folder = folder or current_settings().instance_dir / "backups"
    made = Backup(path, read_backup(path)) if path else make_backup(folder)
    removed = forget_old_backups(folder, keep=keep) if keep and not path else []
    if as_json:
        answer_json({**made.as_dict(), "removed": [str(each) for each in removed]})
    else:
        click.echo(str(made.path))
        _tell_backup(made)


@click.command("restore")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--replace", is_flag=True, help="Put it in the place of the database that is there; that one is saved.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@with_appcontext
@operator_command
def restore_backup(*, path: Path, replace: bool, as_json: bool) -> None:
    """Put a backup in the place of this site's database, brought up to date.

    Nothing is sent afterwards until a person has confirmed that this is the database to send from. Single mails that
    were waiting are given up, and everybody has to log in again.
    """
    restored = restore(path, replace=replace)
    if as_json:
        answer_json({"restored": Backup(path, restored.manifest).as_dict(), "mails_given_up": restored.mails})
    else:
        _tell_restored(restored)


@click.command("upgrade")
@click.option("--no-backup", is_flag=True, help="Do not save the database first.")
@with_appcontext
@operator_command
def upgrade(*, no_backup: bool) -> None:
    """Save the database, then bring it up to date with this version. Campaigns that are being sent go on.

    Run it after every update of the program, then start the processes again. A repeat is harmless.
    """
    _tell_upgraded(upgrade_site(with_backup=not no_backup))


@click.command("doctor")
@click.option("--selector", "selectors", multiple=True, help="A DKIM selector that your mail server signs with.")
@click.option("--ip", "addresses", multiple=True, help="An IP address that mail leaves from, to look at its name.")
@click.option("--nameserver", default="", metavar="HOST[:PORT]", help="Ask this name server.")
@click.option("--transcript", is_flag=True, help="Show what was said with every mail server, not only with bad ones.")
@click.option("--offline", is_flag=True, help="Look up nothing in the DNS.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@with_appcontext
@operator_command
def doctor(*, as_json: bool, transcript: bool, **wishes: Any) -> None:
    """Look at everything the site needs, and say what to do about each thing that is not right. Changes nothing.

    The exit status is 1 when something does not work, else 0.
    """
    findings = []
    for finding in examine(Wishes(**wishes)):
        findings.append(finding)
        if not as_json:
            _tell_finding(finding, with_lines=transcript or finding.level == Level.BAD)
    worst = [finding for finding in findings if finding.level == Level.BAD]
    if as_json:
        answer_json({"ok": not worst, "findings": [asdict(finding) for finding in findings]})
    sys.exit(1 if worst else 0)


def _tell_finding(finding: Finding, *, with_lines: bool) -> None:
    colour = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}.get(finding.level)
    click.echo(f"{click.style(f'{finding.level:>4}', fg=colour)}  {finding.check}: {finding.found}")
    if finding.advice:
        click.echo(f"      → {finding.advice}")
    for line in finding.lines if with_lines else ():
        click.echo(f"      {line}")


def _tell_backup(made: Backup) -> None:
    manifest = made.manifest
    rows, size_mb = sum(manifest.rows.values()), made.path.stat().st_size / 1_000_000
    tell(f"{manifest.site}, as it was at {manifest.made_at}, made by Carillon {manifest.version}")
    tell(f"{rows:,} rows in {len(manifest.rows)} tables of {manifest.database}, {size_mb:.1f} MB. Every checksum fits.")


def _tell_restored(restored: Restored) -> None:
    manifest = restored.manifest
    tell(f"Restored {manifest.site} as it was at {manifest.made_at}; every table holds the rows it should.")
    if restored.saved:
        tell(f"What was there before is kept in {restored.saved.path}")
    if restored.mails:
        tell(f"{restored.mails:,} single mails that were waiting are given up; people may ask for new ones.")
    url = current_settings().public_base_url
    tell(f"Nothing is sent until you confirm it: start the site, log in, and open {url}/copied-database")


def _tell_upgraded(upgraded: Upgraded) -> None:
    if upgraded.saved:
        tell(f"Saved the database in {upgraded.saved.path}")
    if upgraded.before == upgraded.after:
        tell(f"The database was up to date already (migration {upgraded.after}).")
    else:
        tell(f"Brought the database from migration {upgraded.before or 'none'} to {upgraded.after}.")
    if upgraded.working:
        tell(f"These still run the version before; start them again: {', '.join(upgraded.working)}")
