"""A copied or restored database sends nothing until a person has looked; a new one, or a new folder, asks nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request_started

from app import create_app
from campaigns import clock
from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.config import load_settings
from campaigns.delivery import copy_guard, launch
from campaigns.delivery.models import DatabaseHome
from campaigns.extensions import db
from tests import parts
from tests.conftest import _forget_last_request
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.pages import submit
from tests.people import log_in, make_user, make_users


def schedule() -> tuple[int, datetime]:
    """Schedule a campaign; returns it with a moment shortly after its time."""
    campaign_id, at = make_campaign(subject="December"), utcnow() + timedelta(minutes=6)
    launch.launch_at(campaign_id, by=None, launch_key="k", at=at, zone="Asia/Seoul")
    return campaign_id, at + timedelta(minutes=1)


def state_of(campaign_id: int) -> str:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id).state


def tick(app: Flask) -> None:
    """Do what beat has done every few seconds, for a while."""
    tasks = app.extensions["celery"].tasks
    for name in ("delivery.launch_due", "delivery.reconcile", "delivery.reconcile"):
        tasks[name]()
        parts.run_queued_tasks(app)


def copy_file(source: Path, target: Path) -> None:
    """Copy a database that is in use, as a backup program does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(source) as original, sqlite3.connect(target) as copy:
        original.backup(copy)


@contextmanager
def opened(environ: dict[str, str], **changes: str) -> Iterator[Flask]:
    """Run another installation beside the test's own."""
    app = create_app(load_settings({**environ, **changes}))
    with app.app_context(), request_started.connected_to(_forget_last_request, app):
        yield app
        db.session.remove()
        db.engine.dispose()
    app.extensions["celery"].close()


def file_of(app: Flask) -> Path:
    return Path(db.engine.url.database or "")


@pytest.mark.both_databases
def test_a_new_site_asks_nothing(app: Flask, sink: Any) -> None:
    make_users(2)
    campaign_id, due = schedule()
    tick(app)
    assert not copy_guard.is_held()
    with clock.freeze(due):
        tick(app)
    assert state_of(campaign_id) == "sent"
    assert len(sink.mails) == 2


def test_a_copy_in_another_folder_sends_nothing_until_it_is_confirmed(
    app: Flask, environ: dict[str, str], tmp_path: Path, sink: Any
) -> None:
    make_users(2)
    make_user("ada@example.com", role="owner", password=True, language="en")
    campaign_id, due = schedule()
    tick(app)
    copy = tmp_path / "elsewhere" / "copy.sqlite"
    copy_file(file_of(app), copy)
    with opened(environ, INSTANCE_DIR=str(copy.parent), DATABASE_URL=f"sqlite:///{copy}") as other, clock.freeze(due):
        tick(other)
        assert state_of(campaign_id) == "scheduled"
        assert sink.mails == []
        owner = db.session.execute(db.select(User).where(User.address_key == "ada@example.com")).scalar_one()
        client = log_in(other, owner)
        assert "is this the database to send from?" in client.get("/").text
        assert "No announcement is sent at the moment" in client.get(f"/campaigns/{campaign_id}/progress").text
        page = client.get("/copied-database").text
        assert "it is a copy, or it has been moved or restored" in page
        assert "December" in page
        assert submit(client, "/copied-database", {}, action="/copied-database").status_code == 303
        assert "is this the database to send from?" not in client.get("/").text
        tick(other)
        assert state_of(campaign_id) == "sent"
    assert len(sink.mails) == 3
    assert not copy_guard.is_held(), "the original is no copy"


def test_what_a_copy_was_sending_is_paused_when_it_is_confirmed(
    app: Flask, environ: dict[str, str], tmp_path: Path, sink: Any
) -> None:
    make_users(3)
    campaign_id = launch_and_freeze()
    copy_guard.note_home()
    copy = tmp_path / "elsewhere" / "copy.sqlite"
    copy_file(file_of(app), copy)
    with opened(environ, INSTANCE_DIR=str(copy.parent), DATABASE_URL=f"sqlite:///{copy}") as other:
        other.extensions["celery"].tasks["delivery.publish_round"](campaign_id)
        assert other.extensions["celery"].tasks["delivery.send_batch"](campaign_id, 1)["ended"] == "held"
        tick(other)
        assert sink.mails == []
        assert copy_guard.confirm() == 1
        campaign = db.session.get_one(Campaign, campaign_id)
        assert (campaign.state, campaign.pause_reason) == ("paused", "database_copied")
        tick(other)
    assert sink.mails == []


def test_an_older_backup_in_the_same_place_is_held(app: Flask, sink: Any) -> None:
    make_users(2)
    campaign_id, due = schedule()
    tick(app)
    generation = db.session.get_one(DatabaseHome, 1).generation
    with clock.freeze(due):
        tick(app)
        assert len(sink.mails) == 2
        go_back(generation, campaign_id)
        tick(app)
        assert copy_guard.find_hold() == copy_guard.Hold(moved=False)
        assert state_of(campaign_id) == "scheduled"
        copy_guard.confirm()
        assert not copy_guard.is_held()


def go_back(generation: int, campaign_id: int) -> None:
    """Leave the database as an old backup would have."""
    db.session.rollback()
    db.session.get_one(DatabaseHome, 1).generation = generation
    db.session.get_one(Campaign, campaign_id).state = "scheduled"
    db.session.commit()


def test_a_backup_in_the_same_place_is_told_by_its_file(app: Flask, environ: dict[str, str], tmp_path: Path) -> None:
    schedule()
    tick(app)
    path = file_of(app)
    copy_file(path, tmp_path / "backup.sqlite")
    db.session.remove()
    db.engine.dispose()
    path.unlink()
    for rest in path.parent.glob(f"{path.name}-*"):
        rest.unlink()
    shutil.move(tmp_path / "backup.sqlite", path)
    with opened(environ):
        assert copy_guard.find_hold() == copy_guard.Hold(moved=True)


@pytest.mark.both_databases
def test_a_worker_with_a_folder_of_its_own_is_no_copy(app: Flask, environ: dict[str, str], tmp_path: Path) -> None:
    schedule()
    tick(app)
    with opened(environ, INSTANCE_DIR=str(tmp_path / "another machine")):
        assert not copy_guard.is_held()
        copy_guard.note_home()
    assert not copy_guard.is_held()


@pytest.mark.both_databases
def test_another_database_than_it_was_written_in_is_held(app: Flask) -> None:
    schedule()
    tick(app)
    db.session.get_one(DatabaseHome, 1).fingerprint = "somewhere else"
    db.session.commit()
    assert copy_guard.find_hold() == copy_guard.Hold(moved=True)
    tick(app)
    assert copy_guard.is_held(), "the sweep does not settle it by itself"
    copy_guard.confirm()
    assert not copy_guard.is_held()


@pytest.mark.both_databases
def test_a_copy_in_which_nothing_is_on_its_way_asks_nothing(app: Flask) -> None:
    copy_guard.note_home()
    db.session.get_one(DatabaseHome, 1).fingerprint = "somewhere else"
    db.session.commit()
    assert not copy_guard.is_held()
    campaign_id = launch_and_freeze()
    assert not copy_guard.is_held(), "a launch in it is a person's own"
    assert state_of(campaign_id) == "sending"


def test_a_restart_and_a_minute_of_lost_commits_ask_nothing(app: Flask, environ: dict[str, str]) -> None:
    schedule()
    tick(app)
    with opened(environ):
        assert not copy_guard.is_held()
        db.session.get_one(DatabaseHome, 1).generation -= 30
        db.session.commit()
        assert not copy_guard.is_held()
