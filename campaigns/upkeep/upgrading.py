"""Moving a site's database forward to this version: saved first, and only ever forward."""

from __future__ import annotations

from dataclasses import dataclass

from flask_migrate import upgrade
from psycopg.errors import DeadlockDetected
from sqlalchemy.exc import OperationalError

from campaigns.config import current_settings
from campaigns.database_version import database_revision, known_revisions
from campaigns.errors import CarillonError
from campaigns.extensions import db
from campaigns.upkeep.backups import Backup, make_backup
from campaigns.upkeep.dumps import is_empty
from campaigns.upkeep.restoring import running_processes

TRIES = 5  # a deadlock is found within a second, and what we collided with has then ended


class NewerDatabase(CarillonError):
    """The database was brought forward by a newer version than this one."""


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade has done; `working` are processes that were started before it."""

    before: str
    after: str
    saved: Backup | None
    working: list[str]


def upgrade_site(*, with_backup: bool) -> Upgraded:
    """Save the database where it is behind, and run the migrations that it lacks. Commits; a repeat is harmless.

    Migrations take away nothing that the version before reads; what its processes left open goes on once they are
    started again. Raises NewerDatabase, CannotDump.
    """
    before, newest = database_revision(), known_revisions()[-1]
    if before and before not in known_revisions():
        raise NewerDatabase(f"The database is at migration {before}, which this version does not know; go back to it.")
    is_behind = before != newest and not is_empty()
    saved = make_backup(current_settings().instance_dir / "backups") if with_backup and is_behind else None
    working = running_processes() if is_behind else []
    db.session.remove()
    _migrate()
    return Upgraded(before=before, after=database_revision(), saved=saved, working=working)


def _migrate() -> None:
    """Run the migrations, all or none; again where a process that still works held a table we wanted, and we its."""
    for tries_left in reversed(range(TRIES)):
        try:
            upgrade()
            break
        except OperationalError as error:
            if not tries_left or not isinstance(error.orig, DeadlockDetected):
                raise
