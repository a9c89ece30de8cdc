"""Imports that are cut off, come twice, or lose their queue still take every row once."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.audience import imports, tasks
from campaigns.audience.models import ImportProblem, ImportState, UserImport
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from tests import parts
from tests.pages import forms_of

MANY = "email,name\n" + "".join(f"p{n}@example.com,회원 {n}\n" if n % 100 else f"bad{n},x\n" for n in range(10_000))
THOROUGH = {"added": 9_900, "bad": 100, "rows_done": 10_000, "rows_total": 10_000, "state": ImportState.DONE}


@pytest.fixture
def import_id(app: Flask) -> int:
    return imports.take_upload(io.BytesIO(MANY.encode()), "many.csv", by=None)


def outcome() -> dict[str, Any]:
    db.session.expire_all()
    each = db.session.query(UserImport).one()
    return {name: getattr(each, name) for name in THOROUGH}


def count_people() -> int:
    return db.session.query(User).count()


def run_to_the_end(import_id: int) -> None:
    imports.check_import(import_id)
    while not imports.save_import(import_id, budget_seconds=0):
        each = imports.get_import(import_id)
        assert each.rows_done == each.added + each.updated + each.unchanged + each.bad
    imports.report_import(import_id)


@pytest.mark.both_databases
def test_saving_goes_on_where_it_was_cut_off(import_id: int):
    imports.check_import(import_id)
    assert not imports.save_import(import_id, budget_seconds=0)
    assert 0 < count_people() < 9_900
    run_to_the_end(import_id)
    assert outcome() == THOROUGH
    assert count_people() == 9_900
    assert db.session.query(ImportProblem).count() == 100


def test_every_step_may_be_run_again(import_id: int):
    for _ in range(2):
        run_to_the_end(import_id)
        run_to_the_end(import_id)
    assert outcome() == THOROUGH


def test_steps_out_of_order_do_nothing(import_id: int):
    imports.report_import(import_id)
    assert imports.save_import(import_id, budget_seconds=10)
    imports.report_import(import_id)
    assert imports.get_import(import_id).state == ImportState.WAITING


def test_of_two_workers_at_once_each_row_is_saved_by_one(app: Flask, import_id: int):
    imports.check_import(import_id)
    results = run_at_once(app, 3, lambda: imports.save_import(import_id, budget_seconds=30))
    assert results == [True] * 3
    imports.save_import(import_id, budget_seconds=30)
    imports.report_import(import_id)
    assert outcome() == THOROUGH
    assert count_people() == 9_900


@pytest.mark.both_databases
def test_two_files_with_the_same_people_at_once(app: Flask):
    backwards = "email,name\n" + "".join(f"p{n}@example.com,회원 {n}\n" for n in reversed(range(10_000)))
    ids = [imports.take_upload(io.BytesIO(text.encode()), "x.csv", by=None) for text in (MANY, backwards)]
    pending = list(ids)
    assert run_at_once(app, 2, lambda: run_to_the_end(pending.pop())) == [None, None]
    assert count_people() == 10_000
    db.session.expire_all()
    assert {each.state for each in db.session.query(UserImport)} == {ImportState.DONE}


def run_at_once(app: Flask, count: int, work: Callable[[], Any]) -> list[Any]:
    def run() -> Any:
        with app.app_context():
            return work()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=100) for future in [pool.submit(run) for _ in range(count)]]


def test_an_import_whose_messages_were_lost_is_found_again(
    app: Flask, import_id: int, run_queued: Callable[..., list[str]]
):
    tasks.resume_imports()
    assert run_queued() == []  # somebody has only just touched it
    with freeze(utcnow() + timedelta(minutes=3)):
        tasks.resume_imports()
        tasks.resume_imports()  # comes twice, and starts it once
        assert run_queued() == ["audience.check_import", "audience.save_import", "audience.report_import"]
    assert outcome() == THOROUGH


def test_an_upload_is_taken_while_the_queue_is_away(
    owner_client: FlaskClient, redis_server: parts.RedisServer, run_queued: Callable[..., list[str]]
):
    page = owner_client.get("/imports/new")
    redis_server.kill()
    try:
        answer = submit_page(owner_client, page.text)
    finally:
        redis_server.start()
    assert answer.status_code == 303
    with freeze(utcnow() + timedelta(minutes=3)):
        tasks.resume_imports()
        run_queued()
    assert outcome()["added"] == 9_900


def submit_page(client: FlaskClient, page: str) -> Any:
    fields = next(form["fields"] for form in forms_of(page) if form["action"] == "/imports/new")
    data = {**fields, "file": (io.BytesIO(MANY.encode()), "many.csv")}
    return client.post("/imports/new", data=data, content_type="multipart/form-data")


def test_an_import_that_never_gets_on_is_given_up(import_id: int):
    for _ in range(imports.MOST_TRIES):
        assert imports._start(import_id, ImportState.WAITING, ImportState.CHECKING)  # and the process is killed
    imports.check_import(import_id)
    each = imports.get_import(import_id)
    assert (each.state, each.error) == (ImportState.FAILED, "gave_up")
    assert list(imports.import_folder().iterdir()) == []


def test_a_file_that_was_taken_away_ends_the_import(import_id: int):
    for path in imports.import_folder().iterdir():
        path.unlink()
    run_to_the_end(import_id)
    each = imports.get_import(import_id)
    assert (each.state, each.error) == (ImportState.FAILED, "gone")


def test_files_that_a_crash_left_behind_are_removed_after_a_day(app: Flask, import_id: int):
    orphan = imports.import_folder() / "orphan.csv"
    orphan.touch()
    with freeze(utcnow() + timedelta(hours=1)):
        assert imports.remove_orphans() == 0
    with freeze(utcnow() + timedelta(days=2)):
        assert imports.remove_orphans() == 1
    assert not orphan.exists()
    assert len(list(imports.import_folder().iterdir())) == 1  # the upload still waits


def test_a_killed_worker_costs_no_row(
    app: Flask, tmp_path: Path, start_process: Callable[..., Any], environ: dict[str, str]
):
    text = "email,name\n" + "".join(f"p{n}@example.com,회원 {n}\n" for n in range(60_000))
    import_id = imports.take_upload(io.BytesIO(text.encode()), "many.csv", by=None)
    arguments = ("celery_worker", "worker", "-Q", "work", "--pool", "solo", "--loglevel", "error")
    worker = start_process(*arguments)
    tasks.start_import(import_id)
    parts.wait_until(lambda: imports.get_import(import_id).rows_done, what="the first rows")
    parts.end_process_group(worker, signal.SIGKILL)
    db.session.rollback()
    cut_off_at = imports.get_import(import_id).rows_done
    with freeze(utcnow() + timedelta(minutes=3)):
        tasks.resume_imports()
    start_process(*arguments)
    parts.wait_until(lambda: fresh(import_id).finished_at, seconds=100, what="the rest")
    each = fresh(import_id)
    assert (each.state, each.added, each.rows_done) == (ImportState.DONE, 60_000, 60_000)
    assert count_people() == 60_000
    assert cut_off_at > 0


def fresh(import_id: int) -> UserImport:
    db.session.rollback()
    return imports.get_import(import_id)


def test_a_large_file_may_take_as_many_goes_as_it_needs():
    assert tasks.save_import.max_retries is None
