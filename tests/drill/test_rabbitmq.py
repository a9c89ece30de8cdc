"""The main experiments with RabbitMQ as the broker, in queues of our own names."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from random import Random
from urllib.parse import urlsplit

import pytest

from campaigns.celery import enqueue
from campaigns.delivery.tasks import send_batch
from campaigns.ops.drill_faults import double_messages
from tests.drill.harness import Experiment
from tests.drill.rabbitmq import rabbitmq_settings
from tests.parts import ROOT, end_process_group, wait_until
from tests.smtp_sink import free_port


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Iterator[Experiment]:
    with rabbitmq_settings() as settings:
        made = make_experiment(**settings)
        yield made
        made.stage.stop()  # while it runs, it declares its queues again


def test_senders_killed_and_replaced(experiment: Experiment) -> None:
    experiment.start("mail.bulk-1", "mail.bulk-2", "work", "beat")
    experiment.launch(800)
    experiment.wait_for_mails(100)
    experiment.stage.kill(experiment.stage.child("mail.bulk-1"))
    experiment.wait_for_mails(250)
    experiment.stage.kill(experiment.stage.child("mail.bulk-2"), signal.SIGTERM)
    experiment.stage.kill(experiment.stage.child("work"))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= 2 * 4, "the one that was killed sends two batches, each over so many connections"


def test_messages_lost_and_doubled_and_the_redis_of_the_results_emptied(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(800)
    experiment.wait_for_mails(100)
    double_messages(experiment.stage, experiment.campaign_id, Random(1))
    experiment.wait_for_mails(200)
    experiment.stage.drop_messages(100)
    experiment.stage.flush_redis()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])


def test_rabbitmq_is_away_and_comes_back(make_experiment: Callable[..., Experiment]) -> None:
    """For eight seconds: the server is shared, so the way to it is cut, and nobody answers there meanwhile."""
    with rabbitmq_settings() as settings, CuttableWay(settings["BROKER_URL"]) as way:
        experiment = make_experiment(**settings | {"BROKER_URL": way.url})
        experiment.start()
        experiment.launch(700)
        experiment.wait_for_mails(150)
        way.cut()
        assert not enqueue(send_batch, experiment.campaign_id, 1)
        experiment.stage.watch(8)
        assert all(child.process and child.process.poll() is None for child in experiment.stage.working())
        way.open()
        verdict = experiment.wait_for_end()
        assert verdict.problems == []
        assert (verdict.by_ledger.sent, verdict.uncertain) == (700, [])
        experiment.stage.stop()


def test_two_sites_share_a_broker_though_their_workers_have_the_same_names(
    make_experiment: Callable[..., Experiment],
) -> None:
    """As a drill beside the site that it is run on: to a worker, its name is also that of a queue."""
    with rabbitmq_settings() as first_settings, rabbitmq_settings() as second_settings:
        first = make_experiment(**first_settings)
        first.start("mail.bulk-1", "work")
        log = first.stage.child("mail.bulk-1").log_path
        first.wait_until(lambda: "ready." in log.read_text(), seconds=60, what="the first site's worker")
        second = make_experiment(**second_settings)
        second.start()
        second.launch(100)
        verdict = second.wait_for_end(seconds=60)
        assert (verdict.problems, verdict.by_ledger.sent) == ([], 100)
        first.stage.stop()
        second.stage.stop()


class CuttableWay:
    """Another way to a broker, which a test may cut. `url` is the broker's address by that way."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._from, self._to = free_port(), address.port or 5672
        user = address.netloc.rpartition("@")[0]
        self.url = address._replace(netloc=f"{user}@127.0.0.1:{self._from}").geturl()

    def __enter__(self) -> CuttableWay:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def open(self) -> None:
        command = [sys.executable, "-m", "bench.delay_proxy", "0", str(self._from), str(self._to)]
        self._process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        wait_until(self._answers, seconds=20, what="the way to RabbitMQ")

    def cut(self) -> None:
        end_process_group(self._process, signal.SIGKILL)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._from)) == 0
