"""Every task has a lane, every lane a worker, and beat runs only what exists."""

from __future__ import annotations

from campaigns.celery import LANES, ROUTES, WORK
from campaigns.config import current_settings
from campaigns.schedule import beat_schedule


def own_tasks(app) -> dict:
    return {name: task for name, task in app.extensions["celery"].tasks.items() if not name.startswith("celery.")}


def test_every_task_is_routed_and_every_route_has_a_task(app):
    assert set(own_tasks(app)) == set(ROUTES)


def test_every_lane_is_used_and_declared(app):
    assert set(ROUTES.values()) == set(LANES) == set(app.extensions["celery"].amqp.queues)


def test_beat_runs_tasks_that_exist_and_expire_before_the_next_tick(app):
    for name, entry in beat_schedule(current_settings()).items():
        assert entry["task"] in ROUTES, name
        assert entry["options"]["expires"] > 0, name
        assert entry["options"]["expires"] <= entry["schedule"].run_every.total_seconds(), name


def test_tasks_of_the_work_lane_have_time_limits_and_senders_have_none(app):
    for name, task in own_tasks(app).items():
        if ROUTES[name] == WORK:
            assert task.soft_time_limit, name
            assert task.time_limit > task.soft_time_limit, name
        else:
            assert task.time_limit is None, name


def test_results_are_not_kept(app):
    assert [name for name, task in own_tasks(app).items() if task.ignore_result is False] == []
