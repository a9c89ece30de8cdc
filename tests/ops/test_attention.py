"""What the dashboard says when workers or beat are silent, or tasks have failed; with the way to the jobs page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from campaigns.accounts.models import User
from campaigns.celery import BULK, LANES, NOW, WORK
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.ops.failed_tasks import SET_ASIDE, Failure, record_failure, settle_failure
from campaigns.ops.heartbeats import Kind, record_heartbeat
from campaigns.ops.models import FailedTask, Heartbeat
from tests.delivery.campaigns import launch_and_freeze
from tests.parts import opened
from tests.people import log_in, make_user

pytestmark = pytest.mark.both_databases


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en")


def report(*lanes: str, beat: bool = True) -> None:
    if lanes:
        record_heartbeat("host:1", kind=Kind.WORKER, lanes=",".join(lanes))
    if beat:
        record_heartbeat("host:2", kind=Kind.BEAT)


def fall_silent(kind: str, *, seconds: int) -> None:
    seen_at = utcnow() - timedelta(seconds=seconds)
    db.session.execute(update(Heartbeat).where(Heartbeat.kind == kind).values(seen_at=seen_at))
    db.session.commit()


def test_nothing_is_said_while_everything_runs(owner_client: FlaskClient) -> None:
    report(*LANES)
    launch_and_freeze()
    assert "attention" not in owner_client.get("/").text


def test_no_worker_at_all_is_said_with_the_way_to_the_jobs_page(owner_client: FlaskClient) -> None:
    report()
    page = owner_client.get("/").text
    assert '<a href="/jobs">No worker is running, so nothing is sent.</a>' in page


def test_workers_that_have_been_silent_for_a_minute_count_as_none(owner_client: FlaskClient) -> None:
    report(*LANES)
    fall_silent(Kind.WORKER, seconds=45)
    assert "No worker" not in owner_client.get("/").text
    fall_silent(Kind.WORKER, seconds=65)
    assert "No worker is running" in owner_client.get("/").text


def test_a_lane_without_a_worker_is_said_only_while_something_waits_for_it(owner_client: FlaskClient) -> None:
    report(NOW, WORK)
    assert "No worker" not in owner_client.get("/").text
    launch_and_freeze()
    assert "No worker takes this work: Announcements." in owner_client.get("/").text


def test_single_mails_that_wait_without_a_worker_are_said(owner_client: FlaskClient) -> None:
    report(BULK, WORK)
    queue_mail(
        kind="reset", to_address="kim@example.com", language="en", context={}, expires_at=utcnow() + timedelta(hours=1)
    )
    db.session.commit()
    assert "No worker takes this work: Single mails." in owner_client.get("/").text


def test_a_freeze_that_waits_without_a_worker_is_said(owner_client: FlaskClient) -> None:
    report(NOW, BULK)
    db.session.add(Campaign(subject="x", state="preparing"))
    db.session.commit()
    assert "No worker takes this work: Preparing, imports, upkeep." in owner_client.get("/").text


def test_a_silent_beat_is_said(owner_client: FlaskClient) -> None:
    report(*LANES, beat=False)
    assert "The timer (beat) is not running." in owner_client.get("/").text
    report(*LANES)
    fall_silent(Kind.BEAT, seconds=65)
    assert "The timer (beat) is not running." in owner_client.get("/").text


@pytest.mark.parametrize(("accepted", "is_said"), [("", True), ("the-key-of-another-machine", False)])
def test_a_machine_that_signs_with_another_key_is_named(
    environ: dict[str, str], owner: User, accepted: str, is_said: bool
) -> None:
    """Unsubscribe links in what it sends would not work; a key that is being replaced is accepted still."""
    report(*LANES)
    with opened(environ, SECRET_KEY="the-key-of-another-machine"):
        record_heartbeat("other:1", kind=Kind.WORKER, lanes=BULK)
    with opened(environ, SECRET_KEY_FALLBACKS=accepted) as site:
        assert ("than the web site: other." in log_in(site, owner).get("/").text) == is_said


def test_failed_tasks_of_the_last_day_are_said_until_somebody_deals_with_them(owner_client: FlaskClient) -> None:
    report(*LANES)
    for name in ("a", "b"):
        record_failure(Failure(task_id=name, name="ops.clean_up", reason="no room"))
    assert "2 tasks failed in the last 24 hours." in owner_client.get("/").text
    first, second = db.session.query(FailedTask).order_by(FailedTask.id)
    settle_failure(first.id, how=SET_ASIDE)
    assert "1 task failed in the last 24 hours." in owner_client.get("/").text
    second.failed_at = utcnow() - timedelta(hours=25)
    db.session.commit()
    assert "failed in the last 24 hours" not in owner_client.get("/").text


def test_people_who_may_not_see_the_jobs_are_not_bothered(app: Flask, owner: User) -> None:
    sender = log_in(app, make_user("sam@example.com", role="sender", password=True, language="en"))
    assert "No worker" not in sender.get("/").text
