"""What is stuck is found and named: by `flask stuck` with its exit status, on the jobs page, on the dashboard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from campaigns.audience.models import UserImport
from campaigns.celery import LANES, NOW
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import ledger, rounds
from campaigns.delivery.models import Batch
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.mail.tasks import send_mail
from campaigns.ops.heartbeats import Activity, Kind, RunningTask, record_heartbeat
from campaigns.ops.stuck import find_stuck, running_now
from tests.delivery.campaigns import launch_and_freeze, make_campaign
from tests.parts import RedisServer, wait_until
from tests.people import make_users

ENGLISH = {"Accept-Language": "en"}
HOUR = timedelta(hours=1)


@pytest.fixture
def all_reporting(app: Flask) -> None:
    report()


def report(*running: RunningTask, lanes: tuple[str, ...] = LANES) -> None:
    activity = Activity(len(running), 9, running)
    record_heartbeat("host:1:all", kind=Kind.WORKER, lanes=",".join(lanes), activity=activity)
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)


def running(name: str, *args: object, since: float = 3600) -> RunningTask:
    return RunningTask("id-1", name, args, time.time() - since)


def ask(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["stuck", *arguments])


def kinds() -> list[str]:
    return [each.kind.value for each in find_stuck()]


def age(table: Any, **values: Any) -> None:
    db.session.execute(update(table).values(**values))
    db.session.commit()


@pytest.mark.both_databases
def test_nothing_stuck_is_said_and_ends_with_0(app: Flask, all_reporting: None) -> None:
    launch_and_freeze(subject="November news")
    queue_mail(kind="reset_requested", to_address="a@example.com", language="en", expires_at=utcnow() + HOUR)
    db.session.commit()
    answer = ask(app)
    assert (answer.exit_code, answer.output) == (0, "Nothing is stuck.\n")
    assert json.loads(ask(app, "--json").output) == {"count": 0, "stuck": []}


@pytest.mark.both_databases
def test_a_campaign_that_nobody_sends_is_named_and_ends_with_1(app: Flask, all_reporting: None) -> None:
    make_users(3)
    with freeze(utcnow() - HOUR):
        campaign_id = launch_and_freeze(subject="November news")
        rounds.plan_round(campaign_id)
    answer = ask(app)
    assert answer.exit_code == 1
    assert "A campaign is being sent, but no worker is sending it: November news, for 1 hour" in answer.output
    (found,) = json.loads(ask(app, "--json").output)["stuck"]
    assert found["kind"] == "campaign"
    assert found["url"] == f"http://carillon.example.test/campaigns/{campaign_id}/progress"
    assert "mail.bulk" in found["advice"]
    assert ask(app, "--after", "4000").exit_code == 0


@pytest.mark.both_databases
def test_a_campaign_that_a_worker_sends_or_that_waits_on_purpose_is_not_named(app: Flask, all_reporting: None) -> None:
    make_users(3)
    with freeze(utcnow() - HOUR):
        campaign_id = launch_and_freeze()
    ledger.take_lease(campaign_id, 1, worker="host:1", lease_for=timedelta(seconds=30))
    assert kinds() == []
    age(Batch, lease_token=None, lease_until=None)
    assert kinds() == ["campaign"]
    age(Campaign, next_round_at=utcnow() + HOUR)
    assert kinds() == []


@pytest.mark.both_databases
def test_a_lease_that_ran_out_long_ago_is_named_with_its_worker(app: Flask, all_reporting: None) -> None:
    make_users(3)
    with freeze(utcnow() - HOUR):
        campaign_id = launch_and_freeze(subject="November news")
        ledger.take_lease(campaign_id, 1, worker="host:77", lease_for=timedelta(seconds=30))
    output = ask(app).output
    assert "A batch that a worker let go of was not taken over: November news, batch 1 on host:77" in output


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"state": "starting", "hold_until": -3600}, "campaign_late"),
        ({"state": "scheduled", "scheduled_at": -3600, "not_after": 3600}, "campaign_late"),
        ({"state": "preparing", "updated_at": -3600}, "freeze"),
        ({"state": "preparing", "updated_at": -60}, None),
        ({"state": "scheduled", "scheduled_at": -3600, "not_after": -60}, None),  # a person decides
        ({"state": "paused", "updated_at": -3600}, None),
    ],
)
def test_a_campaign_that_does_not_begin_is_named(
    app: Flask, all_reporting: None, values: dict[str, Any], kind: str | None
) -> None:
    moments = {name: utcnow() + timedelta(seconds=each) for name, each in values.items() if isinstance(each, int)}
    make_campaign(**{**values, **moments})
    assert kinds() == ([kind] if kind else [])


def test_a_freeze_that_a_worker_has_in_hand_is_not_named(app: Flask) -> None:
    campaign_id = make_campaign(state="preparing", updated_at=utcnow() - HOUR)
    report(running("delivery.freeze_campaign", campaign_id, since=900))
    assert kinds() == []


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("values", "is_stuck"),
    [
        ({"state": "waiting", "created_at": -3600}, True),
        ({"state": "saving", "touched_at": -3600}, True),
        ({"state": "saving", "tries": 3}, True),
        ({"state": "saving", "tries": 1}, False),
        ({"state": "done", "touched_at": -3600}, False),
    ],
)
def test_an_import_that_does_not_get_on_is_named(
    app: Flask, all_reporting: None, values: dict[str, Any], is_stuck: bool
) -> None:
    moments = {n: utcnow() + timedelta(seconds=v) for n, v in values.items() if n.endswith("_at")}
    db.session.add(UserImport(file_name="people.csv", source_path="", **{**values, **moments}))
    db.session.commit()
    assert kinds() == (["import"] if is_stuck else [])
    assert ("people.csv" in ask(app).output) is is_stuck


@pytest.mark.both_databases
def test_single_mails_that_wait_for_ten_minutes_are_counted_by_kind(app: Flask, all_reporting: None) -> None:
    with freeze(utcnow() - timedelta(minutes=11)):
        for n in range(2):
            queue_mail(
                kind="reset_requested", to_address=f"a{n}@example.com", language="en", expires_at=utcnow() + HOUR
            )
    later = utcnow() + HOUR
    queue_mail(
        kind="verification_reminder",
        to_address="b@example.com",
        language="en",
        expires_at=later + HOUR,
        send_after=later,
    )
    db.session.commit()
    answer = ask(app)
    assert "2 single mails have not gone out: Link to choose a password, for 11 minutes" in answer.output
    assert "example.com" not in answer.output
    assert kinds() == ["mail"]


def test_a_task_that_runs_too_long_is_named_with_its_worker(app: Flask) -> None:
    campaign_id = make_campaign(subject="November news")
    report(running("delivery.publish_round", campaign_id), running("delivery.send_batch", campaign_id, 3, since=30))
    assert "Runs too long: Start a round of batches: November news on host:1, for 1 hour" in ask(app).output
    assert kinds() == ["long_task"]


def report_others() -> None:
    record_heartbeat("host:3:all", kind=Kind.WORKER, lanes=",".join(LANES))
    record_heartbeat("host:4:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)


def test_tasks_of_a_worker_that_fell_silent_are_named(app: Flask) -> None:
    with freeze(utcnow() - timedelta(minutes=2)):
        report(running("ops.clean_up", since=150))
    report_others()
    assert "Its worker stopped responding: Clean up on host:1" in ask(app).output


def test_a_batch_of_a_worker_that_fell_silent_is_stuck_only_when_its_rows_say_so(app: Flask) -> None:
    make_users(3)
    with freeze(utcnow() - timedelta(minutes=10)):
        campaign_id = launch_and_freeze(subject="November news")
        report(running("delivery.send_batch", campaign_id, 1, since=700))
    report_others()
    assert kinds() == ["campaign"]
    age(Campaign, state="sent")
    assert kinds() == []


def test_a_queue_without_a_worker_is_named_with_the_command(app: Flask) -> None:
    report(lanes=tuple(lane for lane in LANES if lane != NOW))
    send_mail.apply_async((1,), headers={"published_at": time.time() - 120})
    output = ask(app).output
    assert "Nobody takes messages of this lane: Single mails (1), for 2 minutes" in output
    assert "python -m celery_worker worker -Q mail.now" in output


def test_a_timer_that_does_not_report_and_a_tick_that_does_not_come_are_named(app: Flask) -> None:
    assert kinds() == ["timer"]
    report()
    with freeze(utcnow() - timedelta(seconds=90)):
        record_heartbeat("tick", kind=Kind.TICK)
    assert kinds() == ["tick"]


def test_a_broker_that_is_away_is_named(app: Flask, all_reporting: None, redis_server: RedisServer) -> None:
    redis_server.kill()
    try:
        answer = ask(app)
    finally:
        redis_server.start()
    assert answer.exit_code == 1
    assert "The message queue cannot be reached" in answer.output


def test_a_database_that_is_away_ends_with_2(app: Flask, environ: dict[str, str], tmp_path: Path) -> None:
    database = Path(environ["DATABASE_URL"].removeprefix("sqlite:///"))
    db.session.rollback()
    db.engine.dispose()
    database.rename(tmp_path / "away")
    database.mkdir()
    answer = ask(app, "--json")
    assert answer.exit_code == 2
    assert "It cannot be told" in answer.output


def test_the_jobs_page_says_first_that_something_is_stuck(owner_client: FlaskClient, all_reporting: None) -> None:
    with freeze(utcnow() - HOUR):
        make_campaign(subject="November news", state="preparing")
    report(running("ops.clean_up", since=30))
    page = owner_client.get("/jobs", headers=ENGLISH).text
    assert page.index("Something is stuck.") < page.index("Queued tasks")
    assert "A campaign’s recipients are not being prepared" in page
    assert "November news" in page
    assert page.index("Running now") < page.index("Clean up")


def test_the_dashboard_says_what_is_stuck(owner_client: FlaskClient, all_reporting: None) -> None:
    with freeze(utcnow() - HOUR):
        make_campaign(subject="November news", state="preparing")
    page = owner_client.get("/", headers=ENGLISH).text
    assert "A campaign’s recipients are not being prepared: November news" in page
    assert 'href="/jobs#stuck"' in page


def test_a_real_worker_tells_what_it_runs(app: Flask, start_process: Callable[..., Any], tmp_path: Path) -> None:
    start_process("celery_worker", "worker", "-I", "tests.ops.failing_tasks", "-c", "2", "-P", "prefork")
    app.extensions["celery"].send_task("tests.wait_for", (str(tmp_path / "end"),))

    def names() -> list[str]:
        db.session.rollback()
        db.session.expire_all()
        return [each.task.name for each in running_now()]

    wait_until(lambda: names() == ["tests.wait_for"])
    (tmp_path / "end").touch()
    wait_until(lambda: names() == [])
