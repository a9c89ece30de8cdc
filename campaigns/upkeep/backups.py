"""A backup: one file that holds the whole site as it was at one moment, and says what must be in it.

It is a compressed tar of a manifest, the database, and the secret key that the site made for itself. What it leaves
out: the journals (they tell of what happens after it), uploads that are not imported yet, logs, and settings of the
environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from campaigns import __version__
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.database_version import database_revision
from campaigns.errors import CarillonError
from campaigns.extensions import db
from campaigns.site import Site, SiteView
from campaigns.upkeep.dumps import NAMES, database_kind, dump_database

FORMAT = 1
MANIFEST = "manifest.json"
KEY_FILE = "secret_key"
READ_AT_ONCE = 1_048_576


class BadBackup(CarillonError):
    """The file is no backup, is damaged, or does not fit here; the message says which."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself; `rows` are those of each table, `files` the SHA-256 of each file in it."""

    format: int
    version: str
    revision: str
    database: str
    made_at: str
    site: str
    rows: dict[str, int]
    files: dict[str, str]


@dataclass(frozen=True)
class Backup:
    """A backup on disk."""

    path: Path
    manifest: Manifest

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON writes."""
        return {"path": str(self.path), "size_bytes": self.path.stat().st_size, **asdict(self.manifest)}


def make_backup(folder: Path) -> Backup:
    """Write a backup into `folder` while the site runs on, and read it once more. Raises CannotDump, BadBackup.

    Only its owner may read the file, for it holds addresses and secrets; it appears whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made_at = utcnow()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backup-") as draft_name:
        draft = Path(draft_name)
        manifest = _collect(draft, made_at)
        path = _name(_pack(draft, manifest), folder, f"carillon-{made_at:%Y%m%dT%H%M%SZ}")
    return Backup(path, read_backup(path))


def read_backup(path: Path) -> Manifest:
    """Return what a backup says of itself, having held every file in it against its checksum. Raises BadBackup."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            manifest = _read_manifest(archive)
            for name, expected in manifest.files.items():
                if _hash_of(archive, name) != expected:
                    raise BadBackup(f"{path.name} is damaged: {name} is not what was written into it.")
            return manifest
    except (OSError, EOFError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BadBackup(f"{path.name} is no backup of Carillon, or is damaged: {error}") from error


def unpack(path: Path, name: str, target: Path) -> None:
    """Write one file of a backup to `target`, which only its owner may read. No path inside it is trusted."""
    with tarfile.open(path, "r:gz") as archive, open(target, "wb", opener=_private) as file:
        source = archive.extractfile(name)
        if source is None:
            raise BadBackup(f"{path.name} holds no file named {name}.")
        while chunk := source.read(READ_AT_ONCE):
            file.write(chunk)


def forget_old_backups(folder: Path, *, keep: int) -> list[Path]:
    """Remove all but the newest `keep` backups of a folder; returns which. A repeat is harmless."""
    # Their names begin with the time they were made at.
    old = sorted(folder.glob("carillon-*.tar.gz"), reverse=True)[keep:]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def _collect(draft: Path, made_at: datetime) -> Manifest:
    kind = database_kind()
    rows = dump_database(draft / NAMES[kind])
    _copy_secret_key(draft)
    return Manifest(
        format=FORMAT,
        version=__version__,
        revision=database_revision(),
        database=kind,
        made_at=made_at.isoformat(timespec="seconds"),
        site=_site_name(),
        rows=rows,
        files={path.name: _hash_of_file(path) for path in sorted(draft.iterdir())},
    )


def _site_name() -> str:
    """Return the site's name by its one column: a database that is still to be upgraded may lack others."""
    return db.session.scalar(select(Site.name)) or SiteView.name


def _copy_secret_key(draft: Path) -> None:
    """Keep the key that the site made for itself; one that is given to it is kept where it is given."""
    kept = current_settings().instance_dir / KEY_FILE
    if kept.is_file() and kept.read_text().strip() == current_settings().secret_key:
        (draft / KEY_FILE).write_text(current_settings().secret_key)


def _pack(draft: Path, manifest: Manifest) -> Path:
    (draft / MANIFEST).write_text(json.dumps(asdict(manifest), ensure_ascii=False, indent=1))
    part = draft / "backup.part"
    names = [MANIFEST, *manifest.files]
    with open(part, "wb", opener=_private) as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
            for name in names:
                archive.add(draft / name, arcname=name)
        file.flush()
        os.fsync(file.fileno())
    return part


def _name(part: Path, folder: Path, stem: str) -> Path:
    """Give a whole backup its name; one of the same second is never overwritten."""
    for ending in ("", *(f"-{number}" for number in range(2, 100))):
        path = folder / f"{stem}{ending}.tar.gz"
        with suppress(FileExistsError):
            path.hardlink_to(part)
            return path
    raise BadBackup(f"There are too many backups named {stem} in {folder}.")


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    file = archive.extractfile(MANIFEST)
    told = json.load(file) if file else {}
    if told.get("format") != FORMAT:
        raise BadBackup(f"The backup is of format {told.get('format')}; this version reads format {FORMAT}.")
    return Manifest(**told)


def _hash_of(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    if file is None:
        return ""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
