"""Workers that are killed, frozen or replaced in mid-batch: nobody twice, nobody lost, and few uncertain, by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.ops.drill_mischief import Mischief, Step
from tests.drill.harness import Experiment

THREADS = 2  # of each sender: as many connections


@pytest.mark.both_databases
def test_killing_a_sender_five_times_leaves_at_most_one_uncertain_for_each_connection(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(1_000)
    for kill in range(1, 6):
        experiment.wait_for_mails(120 * kill)
        assert experiment.stage.kill(experiment.stage.child("mail.bulk-1"))
        experiment.wait_until(lambda: experiment.stage.child("mail.bulk-1").process is None, seconds=10)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= 5 * THREADS
    assert verdict.by_ledger.sent == 1_000 - len(verdict.uncertain)


def test_killing_one_process_of_a_pool_leaves_at_most_one_uncertain(experiment: Experiment) -> None:
    experiment.start("work", "beat")
    experiment.start_more("mail.bulk-1", threads="prefork")
    experiment.launch(600)
    experiment.wait_for_mails(150)
    worker = experiment.pid("mail.bulk-1")
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    experiment.stage.most_uncertain_by_kills += 1
    assert experiment.wait_for_end().problems == []


@pytest.fixture(params=["DATA", "BDAT"])
def experiment_by_command(make_experiment: Callable[..., Experiment], request: pytest.FixtureRequest) -> Experiment:
    """An experiment whose contents are handed over with one command or the other."""
    return make_experiment(chunking=request.param == "BDAT")


def test_a_sender_killed_before_it_hears_that_its_mail_was_accepted(experiment_by_command: Experiment) -> None:
    """The mail server has it, the sender cannot know: uncertain, by name, and not sent again."""
    experiment = experiment_by_command
    experiment.start()
    experiment.launch(300)
    experiment.wait_for_mails(50)
    kill = lambda: os.killpg(experiment.pid("mail.bulk-1"), signal.SIGKILL)  # noqa: E731
    experiment.stage.most_uncertain_by_kills += THREADS
    experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_KEPT, 1, then=kill))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert any(each.was_delivered and each.reason == "worker_lost" for each in verdict.uncertain)


def test_a_sender_killed_before_the_mail_server_has_its_mail(experiment_by_command: Experiment) -> None:
    """The mail server has nothing, and nobody can prove it: uncertain, by name, and not sent again by itself."""
    experiment = experiment_by_command
    experiment.start()
    experiment.launch(300)
    experiment.wait_for_mails(50)
    kill = lambda: os.killpg(experiment.pid("mail.bulk-1"), signal.SIGKILL)  # noqa: E731
    experiment.stage.most_uncertain_by_kills += THREADS
    experiment.stage.sink.arrange(Mischief(Step.BEFORE_DOT, 1, then=kill))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert any(not each.was_delivered and each.reason == "worker_lost" for each in verdict.uncertain)


def test_replacing_the_workers_again_and_again_is_invisible_in_the_totals(experiment: Experiment) -> None:
    experiment.start("mail.bulk-1", "mail.bulk-2", "work", "beat")
    experiment.launch(900)
    for replaced in range(1, 4):
        experiment.wait_for_mails(200 * replaced)
        for name in ("mail.bulk-1", "mail.bulk-2", "work"):
            experiment.stage.kill(experiment.stage.child(name), signal.SIGTERM)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (900, [])


def test_a_sender_frozen_past_its_lease_finds_itself_fenced_off_and_tells_the_truth(experiment: Experiment) -> None:
    experiment.start("mail.bulk-1", "mail.bulk-2", "work", "beat")
    experiment.launch(800, milliseconds_each=20)
    experiment.wait_for_mails(100)
    frozen = experiment.pid("mail.bulk-1")
    os.kill(frozen, signal.SIGSTOP)
    experiment.wait_until(lambda: experiment.totals().uncertain > 0, seconds=30, what="its lease to run out")
    experiment.stage.watch(1)
    os.kill(frozen, signal.SIGCONT)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])
