"""A backup is one moment of a site that runs on; a restored one sends nothing before a person says so."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from campaigns.accounts.models import LoginSession, User
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import copy_guard
from campaigns.delivery.models import DatabaseHome, Delivery
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.ops.heartbeats import Kind, forget, record_heartbeat
from campaigns.ops.lost_processes import note_lost_processes
from campaigns.ops.models import Heartbeat
from campaigns.upkeep.backups import BadBackup, make_backup, read_backup
from campaigns.upkeep.dumps import CannotDump
from campaigns.upkeep.restoring import CannotRestore, restore
from tests.delivery.campaigns import launch_and_freeze
from tests.ops.failures import open_failures
from tests.pages import submit
from tests.parts import ROOT, wait_until
from tests.people import make_user, make_users
from tests.smtp_sink import Sink

Flask_ = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def run_flask(environ: dict[str, str]) -> Flask_:
    """Run a `flask` command as an operator does."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "app", *arguments]
        own = {"PATH": "/usr/local/bin:/usr/bin:/bin", **environ, **changes}
        return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120, check=False)

    return run


def people() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(User.email).order_by(User.id)))


def count(table: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.both_databases
def test_what_is_restored_is_what_was_there(app: Flask, folder: Path) -> None:
    make_users(30)
    launch_and_freeze(subject="가을 소식")
    backup = make_backup(folder)
    make_user("late@example.com")
    db.session.execute(db.update(User).where(User.email == "person1@example.com").values(name="changed"))
    db.session.commit()

    restored = restore(backup.path, replace=True)

    assert restored.manifest == backup.manifest
    assert people() == [f"person{n}@example.com" for n in range(1, 31)]
    assert db.session.scalar(select(User.name).where(User.email == "person1@example.com")) == "회원 1"
    assert count(Delivery) == 30
    assert restored.saved is not None
    assert restored.saved.manifest.rows["users"] == 31


@pytest.mark.both_databases
def test_it_is_one_moment_while_others_write(app: Flask, folder: Path, database_url: str) -> None:
    """Two tables that are always written together hold the same in the backup, whoever writes meanwhile."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=ROOT, env={"DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}
    )
    try:
        wait_until(lambda: count(Heartbeat))
        manifests = [make_backup(folder / str(n)).manifest for n in range(3)]
    finally:
        writer.terminate()
        writer.wait()
    for manifest in manifests:
        assert manifest.rows["heartbeat"] == manifest.rows["failed_task"]
    assert manifests[-1].rows["heartbeat"] > 0


WRITER = """
import os, time
from sqlalchemy import create_engine, text
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
for n in range(100_000):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO heartbeat (name, kind, lanes, active, processed, started_at, seen_at)"
            " VALUES (:name, 'x', '', 0, 0, '2020-01-01', '2020-01-01')"), {"name": str(n)})
        connection.execute(text("INSERT INTO failed_task (task_id, name, arguments, reason, traceback,"
            " tries, failed_at, settled_how) VALUES (:name, 'x', '{}', '', '', 1, '2020-01-01', '')"), {"name": str(n)})
    time.sleep(0.002)
"""


@pytest.mark.both_databases
def test_a_restored_site_sends_nothing_until_a_person_has_confirmed(
    app: Flask, folder: Path, owner_client: FlaskClient, sink: Sink, run_queued: Callable[..., list[str]]
) -> None:
    make_users(5)
    campaign_id = launch_and_freeze(subject="October")
    submit(app.test_client(), "/password/forgot", {"email": "person1@example.com"})
    backup = make_backup(folder)

    restored = restore(backup.path, replace=True)
    app.extensions["celery"].tasks["delivery.reconcile"]()
    run_queued()
    assert sink.mails == []
    assert (restored.mails, db.session.scalar(select(OutboxMail.reason))) == (1, "restored")
    assert count(LoginSession) == 0
    assert "site.restored" in db.session.scalars(select(AuditEntry.action)).all()

    submit(owner_client, "/login", {"email": "ada@example.com", "password": "correct horse battery"})
    assert "copied-database" in owner_client.get("/").text
    submit(owner_client, "/copied-database", {}, action="/copied-database")
    assert not copy_guard.is_held()
    assert db.session.get_one(Campaign, campaign_id).state == "paused"


def test_a_restored_site_without_campaigns_is_held_too(app: Flask, folder: Path) -> None:
    """Something in it may launch later what the site it was copied from launches as well."""
    restore(make_backup(folder).path, replace=True)
    assert copy_guard.is_held()
    copy_guard.confirm()
    assert not copy_guard.is_held()


@pytest.mark.both_databases
def test_a_backup_of_the_release_before_is_brought_up_to_date(app: Flask, folder: Path) -> None:
    make_users(3)
    backup = make_backup(folder)
    assert restore(backup.path, replace=True).manifest.revision == backup.manifest.revision
    assert db.session.scalar(select(DatabaseHome.fingerprint)) == "restored"


def test_only_its_owner_can_read_it_and_nothing_half_made_is_left(app: Flask, folder: Path) -> None:
    backup = make_backup(folder)
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [backup.path]
    with tarfile.open(backup.path) as archive:
        assert sorted(archive.getnames()) == ["database.sqlite", "manifest.json"]  # the key is given by the environment


def test_two_of_the_same_second_stand_side_by_side(app: Flask, folder: Path) -> None:
    assert len({make_backup(folder).path for _ in range(5)}) == 5


def test_a_damaged_file_is_noticed_before_anything_is_touched(app: Flask, folder: Path) -> None:
    make_users(200)
    path = make_backup(folder).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BadBackup, match="damaged"):
        restore(path, replace=True)
    assert len(people()) == 200


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\x1f\x8b\x08\x00" + b"0" * 50])
def test_what_is_no_backup_is_told_so(app: Flask, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BadBackup, match=r"notes\.tar\.gz"):
        read_backup(path)


def test_a_database_that_is_there_is_not_replaced_unasked(app: Flask, folder: Path) -> None:
    path = make_backup(folder).path
    with pytest.raises(CannotRestore, match="--replace"):
        restore(path, replace=False)


def test_a_site_that_runs_is_not_restored_under_its_feet(app: Flask, folder: Path) -> None:
    path = make_backup(folder).path
    record_heartbeat("host:1:mail.bulk", kind=Kind.WORKER, lanes="mail.bulk")
    with pytest.raises(CannotRestore, match=r"mail\.bulk"):
        restore(path, replace=True)


def test_who_worked_as_the_backup_was_made_does_not_count_as_dead_in_the_restored_site(
    app: Flask, folder: Path
) -> None:
    record_heartbeat("host:1:work", kind=Kind.WORKER, lanes="work")
    backup = make_backup(folder)
    forget("host:1:work")
    restore(backup.path, replace=True)
    with freeze(utcnow() + timedelta(minutes=5)):
        note_lost_processes()
        assert open_failures() == []


def test_a_backup_of_a_newer_version_is_refused(app: Flask, folder: Path) -> None:
    db.session.execute(db.text("UPDATE alembic_version SET version_num = '9999'"))
    db.session.commit()
    path = make_backup(folder).path
    with pytest.raises(BadBackup, match="newer"):
        restore(path, replace=True)


def test_a_missing_program_is_named(app: Flask, folder: Path, run_flask: Flask_, environ: dict[str, str]) -> None:
    ran = run_flask("backup", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", PATH="/nonexistent")
    assert ran.returncode == 1
    assert "database" in ran.stderr
    assert issubclass(CannotDump, Exception)


def test_the_way_of_an_operator(app: Flask, environ: dict[str, str], folder: Path, run_flask: Flask_) -> None:
    """Made on one machine, checked, and put into an empty place on another with a key of its own making."""
    make_users(12)
    own_key = {"SECRET_KEY": ""}
    made = run_flask("backup", "--to", str(folder), "--json", **own_key)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    path = Path(told["path"])
    assert told["rows"]["users"] == 12
    assert sorted(told["files"]) == ["database.sqlite", "secret_key"]
    assert run_flask("backup", "--check", str(path)).returncode == 0

    elsewhere: dict[str, Any] = {
        "INSTANCE_DIR": str(folder / "elsewhere"),
        "DATABASE_URL": f"sqlite:///{folder / 'elsewhere' / 'new.sqlite'}",
    }
    restored = run_flask("restore", str(path), **own_key, **elsewhere)
    assert restored.returncode == 0, restored.stderr
    assert "/copied-database" in restored.stderr
    keys = [Path(each) / "secret_key" for each in (environ["INSTANCE_DIR"], elsewhere["INSTANCE_DIR"])]
    assert keys[0].read_text() == keys[1].read_text()
    assert run_flask("restore", str(path), **own_key, **elsewhere).returncode == 1


def test_old_backups_are_removed_when_asked(app: Flask, folder: Path, run_flask: Flask_) -> None:
    folder.mkdir()
    for day in range(1, 5):
        (folder / f"carillon-2026010{day}T000000Z.tar.gz").write_bytes(b"old")
    (folder / "mine.txt").write_text("not a backup")
    assert run_flask("backup", "--to", str(folder), "--keep", "2").returncode == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "carillon-20260104T000000Z.tar.gz"
    assert (len(names), names[-1]) == (3, "mine.txt")


def test_a_database_of_a_newer_version_is_not_upgraded(app: Flask, run_flask: Flask_) -> None:
    db.session.execute(db.text("UPDATE alembic_version SET version_num = '9999'"))
    db.session.commit()
    ran = run_flask("upgrade")
    assert ran.returncode == 1
    assert "does not know" in ran.stderr
