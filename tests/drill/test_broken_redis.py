"""Redis killed, emptied, frozen, or away: what was queued is made again from rows, and nobody gets a mail twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from campaigns.celery import enqueue
from campaigns.delivery.models import Batch
from campaigns.delivery.tasks import send_batch
from campaigns.extensions import db
from tests.drill.harness import Experiment, new_person
from tests.pages import submit
from tests.parts import RedisServer, short_folder
from tests.stopwatch import Stopwatch


def test_redis_killed_three_times_while_a_campaign_is_sent(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(BATCH_SIZE="50")
    experiment.start()
    experiment.launch(700)
    for kill in range(1, 4):
        experiment.wait_for_mails(150 * kill)
        experiment.wait_for_process("redis")
        assert experiment.stage.kill(experiment.stage.child("redis"))
        before = batches_begun(experiment)
        experiment.stage.wait_for_redis()
        experiment.wait_until(lambda b=before: batches_begun(experiment) > b, what="another batch")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (700, [])


def batches_begun(experiment: Experiment) -> int:
    """Return how often a batch was taken in hand: each time by a message that came through the broker."""
    db.session.rollback()
    return db.session.scalar(select(func.sum(Batch.tries)).where(Batch.campaign_id == experiment.campaign_id)) or 0


def test_redis_emptied_while_a_campaign_is_sent(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(700)
    for flush in range(1, 3):
        experiment.wait_for_mails(150 * flush)
        assert experiment.stage.flush_redis()
        before = batches_begun(experiment)
        # Two intervals of the sweep, after the batches that were in hand.
        experiment.wait_until(lambda b=before: batches_begun(experiment) > b, what="the rest")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (700, [])


def test_a_frozen_redis_stops_nobody_for_good(experiment: Experiment, site: Flask) -> None:
    """Frozen for 20 seconds, not 60: longer than the 5 after which a page gives up on it."""
    experiment.start()
    experiment.launch(900)
    experiment.wait_for_mails(100)
    redis = experiment.stage.child("redis").process
    assert redis
    redis.send_signal(signal.SIGSTOP)
    began, stopwatch = time.monotonic(), Stopwatch()
    try:
        assert not enqueue(send_batch, experiment.campaign_id, 1)
        assert stopwatch.seconds < 8
        for_the_page = Stopwatch()
        assert submit(site.test_client(), "/signup", new_person("ada")).status_code == 303
        assert for_the_page.seconds < 15, "the form and its answer, each at most one time the limit"
    finally:
        experiment.stage.watch(max(0.0, 20 - (time.monotonic() - began)))
        redis.send_signal(signal.SIGCONT)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (900, [])


def test_only_the_redis_that_counts_the_chords_is_away(make_experiment: Callable[..., Experiment]) -> None:
    """For five seconds, not 30; the messages wait in another Redis, which stays."""
    broker = RedisServer(short_folder())
    broker.start()
    try:
        experiment = make_experiment(BROKER_URL=broker.url)
        experiment.start()
        experiment.launch(500)
        experiment.wait_for_mails(100)
        experiment.stage.let_go(experiment.stage.child("redis"))
        experiment.stage.watch(5)
        experiment.stage.start_redis()
        verdict = experiment.wait_for_end()
        assert verdict.problems == []
        assert (verdict.by_ledger.sent, verdict.uncertain) == (500, [])
    finally:
        broker.stop()


def test_redis_is_away_when_everything_starts(experiment: Experiment) -> None:
    """Workers and beat wait for it; what was launched meanwhile is found by the sweep."""
    experiment.stage.start_sink()
    experiment.start_more("mail.bulk-1", "work", "beat")
    experiment.launch(200)
    experiment.stage.watch(8)
    assert experiment.totals().sent == 0
    experiment.stage.start_redis()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (200, [])


@pytest.mark.both_databases
def test_redis_is_out_of_memory_for_a_while(experiment: Experiment) -> None:
    """It refuses every write, acknowledgements and counts of chords included; all goes on by itself afterwards."""
    experiment.start()
    experiment.launch(600, milliseconds_each=80)
    experiment.wait_for_mails(100)
    with experiment.stage.redis() as client:
        client.config_set("maxmemory", "1mb")  # it uses more than that when empty
    stopwatch = Stopwatch()
    assert not enqueue(send_batch, experiment.campaign_id, 1)
    assert stopwatch.seconds < 6
    experiment.stage.watch(8)
    with experiment.stage.redis() as client:
        client.config_set("maxmemory", "0")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (600, [])
