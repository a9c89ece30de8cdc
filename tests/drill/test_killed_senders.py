"""Workers that are killed, frozen or replaced in mid-batch: nobody twice, nobody lost, and few uncertain, by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.delivery import reopening
from campaigns.delivery.models import Batch
from campaigns.delivery.reopening import Rest
from campaigns.delivery.tasks import publish_round, return_rows
from campaigns.extensions import db
from campaigns.ops.drill_mischief import Mischief, Step
from campaigns.ops.process_sockets import client_ports
from tests.drill.harness import Experiment
from tests.standing_still import hold_still, let_go_on

CONNECTIONS_OF_A_BATCH = 4
CONNECTIONS = 2 * CONNECTIONS_OF_A_BATCH  # of each sender, which sends two batches at once
SENDERS = ("mail.bulk-1", "mail.bulk-2")


@pytest.mark.both_databases
def test_ten_kills_leave_at_most_one_uncertain_for_each_connection(experiment: Experiment) -> None:
    experiment.start(*SENDERS, "work", "beat")
    experiment.launch(1_000)
    for kill in range(10):
        experiment.wait_for_mails(80 * (kill + 1))
        wait_until_it_sends(experiment, SENDERS[kill % 2])
        assert experiment.stage.kill(experiment.stage.child(SENDERS[kill % 2]))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= 10 * CONNECTIONS
    assert verdict.by_ledger.sent == 1_000 - len(verdict.uncertain)


def wait_until_it_sends(experiment: Experiment, name: str) -> None:
    """Wait until a sender has connected to the mail server: a kill before that breaks nothing.

    Meanwhile the mail server takes its time, so that somebody is left to send to.
    """
    sink = experiment.stage.sink
    usual, sink.pause_seconds = sink.pause_seconds, 1.0
    experiment.wait_for_process(name)
    experiment.wait_until(lambda: client_ports(sink.port, group=experiment.pid(name)), what=f"{name} to connect")
    sink.pause_seconds = usual


def test_killing_one_process_of_a_pool_leaves_at_most_its_connections_uncertain(experiment: Experiment) -> None:
    experiment.start("work", "beat")
    experiment.start_more("mail.bulk-1", threads="prefork")
    experiment.launch(600)
    experiment.wait_for_mails(100)
    worker = experiment.pid("mail.bulk-1")
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    experiment.stage.most_uncertain_by_kills += CONNECTIONS_OF_A_BATCH
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= CONNECTIONS_OF_A_BATCH


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
    experiment.stage.most_uncertain_by_kills += CONNECTIONS
    experiment.stage.sink.arrange(Mischief(Step.AFTER_DOT_KEPT, 1, then=kill))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert any(each.was_delivered and each.reason == "worker_lost" for each in verdict.uncertain)


def test_a_sender_killed_before_the_mail_server_has_its_mail(experiment_by_command: Experiment) -> None:
    """The mail server has nothing, and nobody can prove it: uncertain, by name, sent again only by a person, once."""
    experiment = experiment_by_command
    experiment.start()
    experiment.launch(300)
    experiment.wait_for_mails(50)
    kill = lambda: os.killpg(experiment.pid("mail.bulk-1"), signal.SIGKILL)  # noqa: E731
    experiment.stage.most_uncertain_by_kills += CONNECTIONS
    experiment.stage.sink.arrange(Mischief(Step.BEFORE_DOT, 1, then=kill))
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    lost = {each.address for each in verdict.uncertain if not each.was_delivered and each.reason == "worker_lost"}
    assert lost
    for person in reopening.undecided_people(experiment.campaign_id, limit=300):
        if person.address in lost:
            assert reopening.send_again(experiment.campaign_id, person.position)
    enqueue(publish_round, experiment.campaign_id)
    after = experiment.wait_for_end()
    assert after.problems == []
    assert (len(after.uncertain), after.accepted) == (len(verdict.uncertain) - len(lost), verdict.accepted + len(lost))


@pytest.mark.parametrize("disk", ["", ", disk lost"], ids=["with its journal", "without"])
def test_a_sender_killed_between_the_answers_and_the_commit(
    make_experiment: Callable[..., Experiment], disk: str
) -> None:
    """Its journal knows the answers; lost with the disk, all that was in hand is uncertain, and came once."""
    experiment = make_experiment(DIE_WHEN=f"before answers are written down{disk}", BATCH_SIZE="30")
    experiment.start("work", "beat")
    experiment.start_more("mail.bulk-1", extra=("-I", "tests.drill.dying"))
    experiment.stage.most_uncertain_by_kills += CONNECTIONS if not disk else 2 * 30
    experiment.launch(200, milliseconds_each=20)
    verdict = experiment.wait_for_end()
    assert (experiment.settings.instance_dir / "died").exists()
    assert verdict.problems == []
    assert verdict.by_ledger.sent == 200 - len(verdict.uncertain)
    if disk:
        assert verdict.uncertain_delivered >= 30, "a whole batch had its answers"


def test_a_deploy_again_and_again_is_invisible_in_the_totals(experiment: Experiment) -> None:
    """Everything that works is told to stop at once; what was started anew works beside what is still ending."""
    workers = (*SENDERS, "work", "beat")
    experiment.start(*workers)
    experiment.launch(900)
    for replaced in range(1, 4):
        experiment.wait_for_mails(200 * replaced)
        wait_until_it_sends(experiment, SENDERS[0])
        for name in workers:
            experiment.wait_for_process(name)
        ending = [experiment.stage.child(name) for name in workers]
        processes = [child.process for child in ending]
        assert all(experiment.stage.kill(child, signal.SIGTERM) for child in ending)
        # A batch may take 45 seconds; told to stop, it ends with the dialogues that are open.
        experiment.wait_until(
            lambda old=processes: all(process.poll() is not None for process in old), what="the old to end"
        )  # fmt: skip
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (900, [])


def test_a_sender_frozen_past_its_lease_finds_itself_fenced_off_and_tells_the_truth(experiment: Experiment) -> None:
    experiment.start(*SENDERS, "work", "beat")
    experiment.launch(800)
    frozen = freeze_a_sender(experiment, after=100)
    experiment.wait_until(lambda: experiment.totals().uncertain > 0, what="its lease to run out")
    experiment.stage.watch(1)
    let_go_on([frozen])
    experiment.wait_until(lambda: experiment.totals().uncertain == 0, what="it to tell the truth")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])


@pytest.mark.both_databases
def test_a_sender_that_wakes_up_sends_to_nobody_who_was_sent_to_again_meanwhile(experiment: Experiment) -> None:
    """Whom the frozen sender had sent to already gets it twice: that is what the person who decides is told."""
    experiment.start(*SENDERS, "work", "beat")
    experiment.launch(800)
    frozen = freeze_a_sender(experiment, after=100)
    experiment.stage.sink.pause_seconds = 0
    experiment.wait_until(experiment.has_ended, what="the end, but for the frozen sender's people")
    assert reopening.reopen(experiment.campaign_id, Rest.UNCERTAIN)
    enqueue(return_rows, experiment.campaign_id, Rest.UNCERTAIN.value)
    experiment.wait_until(lambda: experiment.totals().sent == 800, what="the mails that were sent again")
    doubled = experiment.verdict().doubled
    assert experiment.stage.sink.accepted == 800 + len(doubled)
    let_go_on([frozen])
    after = experiment.wait_for_end()
    assert after.doubled == doubled
    assert (after.by_ledger.sent, after.accepted, after.is_balanced) == (800, 800 + len(doubled), True)


def freeze_a_sender(experiment: Experiment, *, after: int) -> int:
    """Stop a sender while all its threads wait for the mail server's answer; returns its process id."""
    experiment.wait_for_mails(after)
    wait_until_it_sends(experiment, SENDERS[0])
    experiment.stage.sink.pause_seconds = 4.0
    experiment.stage.watch(1.5)
    pid = experiment.pid(SENDERS[0])
    experiment.wait_until(lambda: is_caught_in_mid_batch(pid, experiment), what="the sender to have people in hand")
    experiment.stage.sink.pause_seconds = 0.2  # so that the others have enough to do until its lease has run out
    return pid


def is_caught_in_mid_batch(pid: int, experiment: Experiment) -> bool:
    """Stop a sender, and let it go again when it has nobody in its hands."""
    if not hold_still([pid], Path(str(make_url(experiment.settings.database_url).database))):
        return False
    db.session.rollback()
    in_hand = select(Batch.sending).where(Batch.worker.endswith(f":{pid}"), Batch.lease_until > utcnow())
    if sum(db.session.scalars(in_hand)):
        return True
    let_go_on([pid])
    return False
