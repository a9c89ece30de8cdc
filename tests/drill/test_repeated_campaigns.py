"""A worker that is killed between making a copy and launching it, with two beats: the date is sent once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from campaigns.audience.demo_users import add_demo_users
from campaigns.clock import utcnow
from campaigns.delivery.models import Occurrence, Recurrence
from campaigns.extensions import db
from tests.delivery.campaigns import make_campaign
from tests.drill.harness import Experiment
from tests.drill.test_started_twice import start_two_beats


@pytest.mark.both_databases
def test_a_worker_that_dies_between_the_copy_and_its_launch(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(DIE_WHEN="between the copy and its launch")
    experiment.start("mail.bulk-1")
    experiment.start_more("work", extra=("-I", "tests.drill.dying"))
    start_two_beats(experiment)
    add_demo_users(200)
    soon = utcnow() + timedelta(seconds=2)
    rule = f"0 {(soon.hour + 12) % 24} * * *"  # so that tomorrow's date does not come in the middle of this
    db.session.add(Recurrence(campaign_id=make_campaign(), rule=rule, zone="UTC", next_at=soon))
    db.session.commit()
    experiment.wait_until((experiment.settings.instance_dir / "died").exists, what="the worker to die")
    db.session.rollback()
    experiment.campaign_id = db.session.execute(select(Occurrence.campaign_id)).scalar_one()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.candidates, verdict.by_ledger.sent) == (200, 200)
    db.session.rollback()
    assert db.session.execute(select(Occurrence.state)).scalar_one() == "launched"
