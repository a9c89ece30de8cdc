"""A freeze that dies half way, two at once, two beats: each person is one row, and a schedule starts once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from campaigns.audience.demo_users import add_demo_users
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import states
from campaigns.delivery.launch import compile_for_launch
from campaigns.delivery.tasks import freeze_campaign
from campaigns.extensions import db
from campaigns.ops.drill import launch_drill_campaign
from campaigns.ops.processes import ProcessPlan
from tests.delivery.campaigns import make_campaign
from tests.drill.harness import Experiment


def start_two_beats(experiment: Experiment) -> None:
    experiment.start_more("beat")
    plan = experiment.stage.child("beat").plan
    experiment.start_plan(ProcessPlan("beat-2", plan.arguments))


@pytest.mark.both_databases
def test_a_freeze_that_is_started_twice_at_once_and_dies_half_way(make_experiment: Callable[..., Experiment]) -> None:
    """Two processes take both messages at the same moment; one of them dies with half of the rows in its hands."""
    experiment = make_experiment(DIE_WHEN="half way through the freeze")
    experiment.start("mail.bulk-1")
    experiment.campaign_id = launch_drill_campaign(300)
    assert states.begin_preparing(experiment.campaign_id)
    for _ in range(2):
        assert enqueue(freeze_campaign, experiment.campaign_id)
    experiment.start_more("work", extra=("-I", "tests.drill.dying"))
    start_two_beats(experiment)
    experiment.wait_until((experiment.settings.instance_dir / "died").exists, what="the freeze to die")
    for _ in range(2):
        enqueue(freeze_campaign, experiment.campaign_id)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.candidates, verdict.by_ledger.sent) == (300, 300)


def test_two_beats_start_a_scheduled_campaign_once(experiment: Experiment) -> None:
    experiment.start("mail.bulk-1", "work")
    start_two_beats(experiment)
    add_demo_users(200)
    experiment.campaign_id = make_campaign()
    compiled = compile_for_launch(db.session.get_one(Campaign, experiment.campaign_id)).to_json()
    soon = utcnow() + timedelta(seconds=3)
    assert states.schedule(
        experiment.campaign_id, by=None, launch_key="key", at=soon, not_after=soon + timedelta(hours=1), zone="UTC",
        compiled=compiled,
    )  # fmt: skip
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.candidates, verdict.by_ledger.sent) == (200, 200)
