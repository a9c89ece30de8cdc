"""The main experiments with RabbitMQ as the broker, in queues of our own names."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from random import Random

import pytest

from campaigns.ops.drill_faults import double_messages
from tests.drill.harness import Experiment
from tests.drill.rabbitmq import rabbitmq_settings


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Iterator[Experiment]:
    with rabbitmq_settings() as settings:
        yield make_experiment(**settings)


def test_senders_killed_and_replaced(experiment: Experiment) -> None:
    experiment.start("mail.bulk-1", "mail.bulk-2", "work", "beat")
    experiment.launch(800)
    experiment.wait_for_mails(150)
    experiment.stage.kill(experiment.stage.child("mail.bulk-1"))
    experiment.wait_for_mails(350)
    experiment.stage.kill(experiment.stage.child("mail.bulk-2"), signal.SIGTERM)
    experiment.stage.kill(experiment.stage.child("work"))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= 2


def test_messages_lost_and_doubled_and_the_redis_of_the_results_emptied(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(800)
    experiment.wait_for_mails(150)
    double_messages(experiment.stage, experiment.campaign_id, Random(1))
    experiment.wait_for_mails(300)
    experiment.stage.drop_messages(100)
    experiment.stage.flush_redis()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])
