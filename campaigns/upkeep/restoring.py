"""Putting a backup in the place of a site's database, so that nothing is sent before a person has looked."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flask_migrate import upgrade
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from campaigns.accounts.logins import drop_every_login
from campaigns.audit.services import Target, record_action
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.database_version import known_revisions
from campaigns.delivery.copy_guard import mark_restored
from campaigns.errors import CarillonError
from campaigns.extensions import db
from campaigns.mail.services import give_up_waiting_mails
from campaigns.ops.heartbeats import SILENT_AFTER, Kind
from campaigns.ops.models import Heartbeat
from campaigns.ops.run_lock import take_lock
from campaigns.upkeep.backups import KEY_FILE, Backup, BadBackup, Manifest, make_backup, read_backup, unpack
from campaigns.upkeep.dumps import NAMES, count_rows, database_kind, is_empty, load_database

logger = logging.getLogger(__name__)


class CannotRestore(CarillonError):
    """Something stands in the way of a restore; the message says what to do."""


@dataclass(frozen=True)
class Restored:
    """What a restore has done; `saved` is the backup of what was there before, `mails` the single mails given up."""

    manifest: Manifest
    saved: Backup | None
    mails: int


def restore(path: Path, *, replace: bool) -> Restored:
    """Put a backup in the place of the configured database, and bring it up to date. Commits.

    Refuses while the site runs, and unless `replace` where a database is already; that one is saved to the same folder
    first. What the site would send is held until a person confirms; single mails that waited are given up, for they may
    have gone out since; all log-ins end, for some were ended since. Raises CannotRestore, BadBackup, CannotDump.
    """
    manifest = _fitting(path)
    lock = take_lock(current_settings().instance_dir)
    try:
        there_is_one = not is_empty()
        if there_is_one:
            _make_sure_of(replace=replace)
        saved = make_backup(path.parent) if there_is_one else None
        _load(path, manifest)
        mails = _hold_everything(manifest)
    finally:
        lock.release()
    return Restored(manifest, saved, mails)


def _fitting(path: Path) -> Manifest:
    manifest = read_backup(path)
    if manifest.database != database_kind():
        raise BadBackup(f"{path.name} is of {manifest.database}, and DATABASE_URL names {database_kind()}.")
    if manifest.revision not in known_revisions():
        raise BadBackup(
            f"{path.name} was made by Carillon {manifest.version}, which is newer than this one; update first."
        )
    return manifest


def _make_sure_of(*, replace: bool) -> None:
    if not replace:
        raise CannotRestore("There is a database already. To put the backup in its place, add --replace.")
    if working := running_processes():
        raise CannotRestore(f"The site is running ({', '.join(working)}). Stop it first, and wait for half a minute.")


def running_processes() -> list[str]:
    """Return the workers and beat that have given a sign of life lately; also from a database that is behind."""
    recently = Heartbeat.seen_at > utcnow() - SILENT_AFTER
    try:
        return list(db.session.scalars(select(Heartbeat.name).where(Heartbeat.kind != Kind.TICK, recently)))
    except SQLAlchemyError:
        return []  # a damaged database has no say in its own rescue
    finally:
        db.session.rollback()


def _load(path: Path, manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".restore-") as folder:
        dump = Path(folder) / NAMES[manifest.database]
        unpack(path, dump.name, dump)
        load_database(dump)
    if (found := count_rows()) != manifest.rows:
        wrong = sorted(name for name in manifest.rows if found.get(name) != manifest.rows[name])
        raise BadBackup(f"The restored database does not hold what the backup says: {', '.join(wrong)}.")
    if KEY_FILE in manifest.files:
        _put_back_secret_key(path)
    upgrade()


def _put_back_secret_key(path: Path) -> None:
    """Put the backup's key in its place, the one that was there beside it."""
    kept = current_settings().instance_dir / KEY_FILE
    draft = kept.with_suffix(".restoring")
    unpack(path, KEY_FILE, draft)
    if kept.is_file() and kept.read_text().strip() != draft.read_text().strip():
        kept.replace(kept.with_suffix(".before-restore"))
    draft.replace(kept)


def _hold_everything(manifest: Manifest) -> int:
    mark_restored()
    mails = give_up_waiting_mails("restored")
    drop_every_login()
    # Those who worked as the backup was made would count as dead.
    db.session.execute(delete(Heartbeat))
    record_action("site.restored", Target("site"), after={"made_at": manifest.made_at, "version": manifest.version})
    db.session.commit()
    logger.warning("the database was restored from a backup of %s; nothing is sent until confirmed", manifest.made_at)
    return mails
