"""Jobs of the clock: run once by any number of beats, made up for when missed, and in the site's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from flask import Flask, g
from sqlalchemy import delete, select

from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from campaigns.ops.tasks import start_due_jobs
from campaigns.periodic_jobs import LEASE, Outcome, PeriodicJob, all_jobs, due_jobs, make_due, note_run, run_if_due
from campaigns.site import Site

pytestmark = pytest.mark.both_databases
CLEAN_UP = "ops.clean_up"
# 2026-11-20 is a Friday; 03:30 in Seoul is 18:30 UTC the day before.
NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def a_site(app: Flask) -> None:
    db.session.add(Site(id=1, name="Site", timezone="Asia/Seoul"))
    db.session.commit()
    with freeze(NOON):
        due_jobs()


def move_to(zone: str) -> None:
    db.session.get_one(Site, 1).timezone = zone
    db.session.commit()
    g.pop("site", None)


def next_due(name: str) -> datetime | None:
    db.session.expire_all()
    return all_jobs()[name].next_due_at


def test_a_job_is_due_at_its_hour_in_the_sites_zone_and_once(app: Flask) -> None:
    runs: list[int] = []
    with freeze(NIGHT - timedelta(seconds=1)):
        assert CLEAN_UP not in due_jobs()
        assert not run_if_due(CLEAN_UP, lambda: {"deleted": 1})
    with freeze(NIGHT):
        assert CLEAN_UP in due_jobs()
        for _ in range(3):
            run_if_due(CLEAN_UP, lambda: runs.append(1) or {"deleted": 7})
        assert CLEAN_UP not in due_jobs()
    assert runs == [1]
    job = all_jobs()[CLEAN_UP]
    assert (job.last_outcome, job.last_counts, job.claimed_until) == (Outcome.OK, {"deleted": 7}, None)
    assert job.next_due_at == NIGHT + timedelta(days=1)


def test_two_beats_at_once_run_it_once(app: Flask) -> None:
    both, runs = Barrier(2), []

    def beat() -> None:
        with app.app_context():
            both.wait()
            run_if_due(CLEAN_UP, lambda: runs.append(1) or {})
            db.session.remove()

    with freeze(NIGHT):
        threads = [Thread(target=beat) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert runs == [1]


def test_two_beats_give_each_job_one_row_and_its_messages_do_no_harm(app: Flask, run_queued) -> None:
    with freeze(NIGHT):
        start_due_jobs()
        start_due_jobs()
        assert run_queued().count(CLEAN_UP) == 2
    db.session.expire_all()
    assert all_jobs()[CLEAN_UP].last_outcome == Outcome.OK
    assert all_jobs()[CLEAN_UP].next_due_at == NIGHT + timedelta(days=1)


def test_three_missed_nights_are_made_up_for_once(app: Flask) -> None:
    runs: list[int] = []
    with freeze(NIGHT + timedelta(days=3, hours=5)):
        while CLEAN_UP in due_jobs():
            run_if_due(CLEAN_UP, lambda: runs.append(1) or {})
    assert runs == [1]
    assert next_due(CLEAN_UP) == NIGHT + timedelta(days=4)


def test_a_changed_zone_is_followed_without_a_restart(app: Flask) -> None:
    assert next_due(CLEAN_UP) == NIGHT
    move_to("America/New_York")
    with freeze(NOON):
        due_jobs()
    # 03:30 in New York in November is 08:30 UTC.
    assert next_due(CLEAN_UP) == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    assert next_due("ops.check_ledgers") == datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def test_a_changed_zone_does_not_skip_a_night_that_is_due(app: Flask) -> None:
    move_to("America/New_York")
    with freeze(NIGHT + timedelta(minutes=1)):
        assert CLEAN_UP in due_jobs()
        assert run_if_due(CLEAN_UP, dict)
    assert next_due(CLEAN_UP) == datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "sunday", "expected"),
    [
        # The clocks skip 02:00 to 03:00; 03:00 is there.
        ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 8, 7, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("Asia/Seoul", datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 3, 7, 18, 0, tzinfo=UTC)),
    ],
)
def test_sunday_at_three_is_kept_when_clocks_jump(app: Flask, zone: str, sunday: datetime, expected: datetime) -> None:
    move_to(zone)
    db.session.execute(delete(PeriodicJob))
    db.session.commit()
    with freeze(sunday):
        due_jobs()
    assert next_due("ops.check_ledgers") == expected


def test_a_run_that_fails_says_why_and_comes_again_at_its_next_time(app: Flask) -> None:
    def fail() -> dict[str, int]:
        raise RuntimeError("the disk is full")

    with freeze(NIGHT):
        with pytest.raises(RuntimeError):
            run_if_due(CLEAN_UP, fail)
        assert CLEAN_UP not in due_jobs()
    job = all_jobs()[CLEAN_UP]
    assert (job.last_outcome, job.last_error) == (Outcome.FAILED, "RuntimeError: the disk is full")
    assert job.next_due_at == NIGHT + timedelta(days=1)


def test_a_run_that_was_killed_is_run_again_when_its_claim_has_lapsed(app: Flask) -> None:
    class Killed(BaseException):
        pass

    def die() -> dict[str, int]:
        raise Killed

    with freeze(NIGHT):
        with pytest.raises(Killed):
            run_if_due(CLEAN_UP, die)
        assert CLEAN_UP not in due_jobs()
        assert not make_due(CLEAN_UP)
        db.session.commit()
    with freeze(NIGHT + LEASE):
        assert CLEAN_UP in due_jobs()
        assert run_if_due(CLEAN_UP, dict)


def test_a_new_site_counts_its_users_at_once(app: Flask) -> None:
    db.session.execute(delete(PeriodicJob))
    db.session.commit()
    with freeze(NOON):
        assert due_jobs() == ["audience.count_users"]


def test_a_tick_is_noted_every_few_seconds_at_most_unless_its_result_changes(app: Flask) -> None:
    def noted() -> tuple[datetime | None, str]:
        db.session.expire_all()
        row = db.session.execute(select(PeriodicJob).where(PeriodicJob.name == "mail.sweep_outbox")).scalar_one()
        return row.last_finished_at, row.last_outcome

    for seconds, outcome, expected in ((0, "ok", 0), (2, "ok", 0), (3, "failed", 3), (4, "ok", 4), (11, "ok", 11)):
        with freeze(NOON + timedelta(seconds=seconds)):
            note_run("mail.sweep_outbox", started_at=utcnow(), outcome=Outcome(outcome), error="")
        assert noted()[0] == NOON + timedelta(seconds=expected), seconds
