"""The schedule page: every job with its rule, its last run and its next; and running one now."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audit.models import AuditEntry
from campaigns.clock import freeze, utcnow
from campaigns.config import current_settings
from campaigns.extensions import db
from campaigns.ops.failed_tasks import Failure, record_failure
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.ops.tasks import start_due_jobs
from campaigns.ops.wording import task_words
from campaigns.periodic_jobs import LEASE, PeriodicJob, all_jobs, due_jobs
from campaigns.schedule import CLOCK_JOBS, intervals
from tests.ops.failures import open_failures
from tests.pages import forms_of
from tests.parts import wait_until
from tests.people import log_in, make_user

ENGLISH = {"Accept-Language": "en"}


def run_now(client: FlaskClient, name: str) -> str:
    action = f"/jobs/schedule/{name}/run"
    (form,) = [each for each in forms_of(client.get("/jobs/schedule").text) if each["action"] == action]
    return client.post(action, data=form["fields"], headers=ENGLISH, follow_redirects=True).text


def test_every_periodic_job_is_there_in_words(owner_client: FlaskClient) -> None:
    page = owner_client.get("/jobs/schedule", headers=ENGLISH).text
    for name in [*(job.task for job in CLOCK_JOBS), *intervals(current_settings())]:
        assert name in page
        assert task_words(name) != name, name
    assert "daily at 03:30" in page
    assert "every Sunday at 03:00" in page
    assert "every 10 seconds" in page
    assert "has not run yet" in page


def test_a_silent_beat_is_said_with_what_to_do(owner_client: FlaskClient) -> None:
    page = owner_client.get("/jobs/schedule", headers=ENGLISH).text
    assert "Nothing runs on schedule." in page
    assert "python -m celery_worker beat" in page
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    assert "Nothing runs on schedule." not in owner_client.get("/jobs/schedule", headers=ENGLISH).text


def test_run_now_runs_it_and_says_what_came_of_it(owner_client: FlaskClient, run_queued, owner: User) -> None:
    make_user("kim@example.com")
    due_jobs()
    assert "Started: Count users for the chart." in run_now(owner_client, "audience.count_users")
    assert run_queued() == ["audience.count_users"]
    db.session.expire_all()
    assert "2 users counted" in owner_client.get("/jobs/schedule", headers=ENGLISH).text
    (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "job.started"))
    assert (entry.actor, entry.target_id) == (owner.email, "audience.count_users")


def test_run_now_of_a_job_that_runs_already_says_so_and_starts_nothing(owner_client: FlaskClient, run_queued) -> None:
    due_jobs()
    job = all_jobs()["ops.clean_up"]
    job.claimed_until = utcnow() + LEASE
    db.session.commit()
    assert "This job is running already: Clean up." in run_now(owner_client, "ops.clean_up")
    assert run_queued() == []
    assert db.session.scalar(select(AuditEntry.id).where(AuditEntry.action == "job.started")) is None


def test_a_failed_job_of_the_clock_can_be_run_again_before_its_time(owner_client: FlaskClient, run_queued) -> None:
    due_jobs()
    record_failure(Failure("id", "ops.clean_up", reason="RuntimeError: x"))
    (failed,) = open_failures()
    action = f"/jobs/failed/{failed.id}/run-again"
    (form,) = [
        each for each in forms_of(owner_client.get(f"/jobs/failed/{failed.id}").text) if each["action"] == action
    ]
    owner_client.post(action, data=form["fields"])
    assert run_queued() == ["ops.clean_up"]
    db.session.expire_all()
    assert all_jobs()["ops.clean_up"].last_outcome == "ok"


def test_a_job_that_failed_shows_its_error(owner_client: FlaskClient) -> None:
    db.session.add(
        PeriodicJob(
            name="ops.clean_up", last_started_at=utcnow(), last_finished_at=utcnow(), last_outcome="failed",
            last_error="OperationalError: disk full",
        )
    )  # fmt: skip
    db.session.commit()
    assert "OperationalError: disk full" in owner_client.get("/jobs/schedule", headers=ENGLISH).text


def test_what_runs_every_few_seconds_is_told_in_seconds_and_large_numbers_with_separators(
    owner_client: FlaskClient,
) -> None:
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    now = utcnow()
    ran = {"last_started_at": now - timedelta(seconds=3), "last_finished_at": now, "last_outcome": "ok"}
    db.session.add(PeriodicJob(name="audit.seal", **ran))
    db.session.add(PeriodicJob(name="audience.count_users", last_counts={"users": 12345}, **ran))
    db.session.commit()
    with freeze(now):
        page = owner_client.get("/jobs/schedule", headers=ENGLISH).text
    assert "3 seconds ago" in page
    assert "in 7 seconds" in page
    assert "12,345 users counted" in page


def test_there_is_no_such_job(owner_client: FlaskClient) -> None:
    token = forms_of(owner_client.get("/jobs/schedule").text)[0]["fields"]
    assert owner_client.post("/jobs/schedule/mail.send_mail/run", data=token).status_code == 404


def test_a_sender_does_not_see_the_schedule(app: Flask) -> None:
    sender = log_in(app, make_user("sender@example.com", role="sender", password=True))
    assert sender.get("/jobs/schedule").status_code == 403


def test_a_real_worker_notes_its_ticks_and_runs_what_is_due(app: Flask, start_process) -> None:
    start_process("celery_worker", "worker", "-Q", "work", "-P", "solo", "-l", "warning")
    start_due_jobs.delay()

    def noted() -> bool:
        db.session.rollback()
        jobs = all_jobs()
        return {"ops.start_due_jobs", "audience.count_users"} <= set(jobs) and all(
            jobs[name].last_outcome == "ok" for name in ("ops.start_due_jobs", "audience.count_users")
        )

    wait_until(noted, what="the tick and the count to be noted")
