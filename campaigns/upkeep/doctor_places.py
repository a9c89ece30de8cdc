"""The doctor looks at this machine: settings, secrets, disk, the senders' journals, the clock."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.clock import machine_time
from campaigns.config import current_settings
from campaigns.delivery.journal import UNREADABLE
from campaigns.extensions import db
from campaigns.findings import Finding, bad, good, note, warn
from campaigns.ops.queues import redis_client

SHORTEST_KEY = 32
LITTLE_SPACE, NO_SPACE = 2_000_000_000, 300_000_000  # bytes
SMALL_DRIFT, LARGE_DRIFT = 2.0, 30.0  # seconds
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"}


def check_settings() -> Iterator[Finding]:
    """Look at the settings that are right by themselves and wrong in production."""
    settings = current_settings()
    yield good("settings", "all are read")
    key = settings.instance_dir / "secret_key"
    if len(settings.secret_key) < SHORTEST_KEY:
        yield bad("secret key", f"shorter than {SHORTEST_KEY} characters", "Set SECRET_KEY to a long random text.")
    elif key.is_file() and stat.S_IMODE(key.stat().st_mode) & 0o077:
        yield bad("secret key", f"others can read {key}", f"chmod 600 {key}")
    else:
        yield good("secret key", "long enough, and nobody else can read it")
    if settings.trial_mode:
        yield note("trial mode", "mail stays on this machine", "Set a mail server to send mail to people.")


def check_disk() -> Iterator[Finding]:
    """Look at the space that is left."""
    settings = current_settings()
    free = shutil.disk_usage(settings.instance_dir).free
    words = f"{free / 1e9:.1f} GB are free in {settings.instance_dir}"
    if free < NO_SPACE:
        yield bad("disk", words, "Make room at once: without it nothing can be recorded, and so nothing is sent.")
    elif free < LITTLE_SPACE:
        yield warn("disk", words, "Make room.")
    else:
        yield good("disk", words)


def check_journals() -> Iterator[Finding]:
    """Look at where the journals are kept, and whether one was set aside."""
    settings = current_settings()
    kind = file_system_of(settings.journal_dir)
    if kind in NETWORK_FILE_SYSTEMS:
        yield bad("journals", f"{settings.journal_dir} is on {kind}", "Set JOURNAL_DIR to a folder on a local disk.")
    elif not os.access(settings.journal_dir, os.W_OK | os.X_OK):
        yield bad("journals", f"{settings.journal_dir} cannot be written to", "Let the workers write there.")
    else:
        yield good("journals", f"{settings.journal_dir} is on a local disk ({kind or 'of an unknown kind'})")
    if unreadable := sorted(path.name for path in settings.journal_dir.glob(f"*{UNREADABLE}")):
        advice = "Look at the disk. Whom they were about stand under uncertain in their report; then remove the files."
        yield warn("journals", f"{', '.join(unreadable)} in {settings.journal_dir} cannot be read", advice)


def file_system_of(path: Path) -> str:
    """Return the kind of file system a folder is on, as Linux tells it; empty elsewhere."""
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return ""
    kinds = {line.split(" ")[1]: line.split(" ")[2] for line in mounts.read_text().splitlines()}
    folder = path.resolve()
    return next((kinds[str(each)] for each in (folder, *folder.parents) if str(each) in kinds), "")


def check_clock() -> Iterator[Finding]:
    """Hold this machine's clock against those of the database, which leases and schedules go by, and of Redis.

    One that is wrong holds up no campaign. It spoils log-in codes, signed links and the looks at certificates.
    """
    for name, drift in (("database", _database_drift()), ("Redis", _redis_drift())):
        if drift is None:
            continue
        words = f"{abs(drift):.1f} s {'ahead of' if drift > 0 else 'behind'} that of the {name}"
        if abs(drift) > LARGE_DRIFT:
            yield bad("clock", words, "Run a time service (chrony, systemd-timesyncd) on both machines.")
        elif abs(drift) > SMALL_DRIFT:
            yield warn("clock", words, "Run a time service (chrony, systemd-timesyncd) on both machines.")
        else:
            yield good("clock", f"agrees with that of the {name}")


def _database_drift() -> float | None:
    if db.engine.dialect.name == "sqlite":
        return None  # it has no clock but ours
    try:
        theirs = db.session.scalar(text("SELECT clock_timestamp()"))
    except SQLAlchemyError:
        return None
    finally:
        db.session.rollback()
    return (machine_time() - theirs).total_seconds() if theirs else None


def _redis_drift() -> float | None:
    settings = current_settings()
    if settings.redis_url.startswith("unix:"):
        return None
    try:
        with redis_client(settings.redis_url) as client:
            seconds, microseconds = client.time()
    except redis.RedisError:
        return None
    return machine_time().timestamp() - float(seconds + microseconds / 1e6)
