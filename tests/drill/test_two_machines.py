"""Two machines share a site, each with a disk of its own; on the second there are senders alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from campaigns.ops.drill_stage import Child
from campaigns.ops.processes import ProcessPlan, working_processes
from tests.drill.harness import Experiment

CONNECTIONS = 2 * 4  # of each sender: two batches at once, four connections of each
FIRST, THERE = ("work", "beat", "mail.bulk-1"), "mail.bulk-2"
PEOPLE = 900

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def start_there(experiment: Experiment, folder: Path, there: Sequence[str] = ("env",)) -> Child:
    """Start a sender of the second machine: its journals are where no process of the first looks.

    `there` is the beginning of a command line that takes settings.
    """
    plan = next(plan for plan in working_processes(experiment.settings) if plan.name == THERE)
    own = [f"INSTANCE_DIR={folder}", f"REDIS_URL={experiment.settings.redis_url}"]
    experiment.start_plan(ProcessPlan(THERE, [*there, *own, *plan.arguments]))
    return experiment.stage.child(THERE)


def begin(experiment: Experiment, folder: Path, there: Sequence[str] = ("env",), *, slowness: int = 1) -> Child:
    """Launch a campaign on both, and wait until the second machine has people in hand."""
    experiment.start(*FIRST)
    sender = start_there(experiment, folder, there)
    experiment.launch(PEOPLE, milliseconds_each=slowness * 120)
    experiment.wait_for_mails(150)
    experiment.wait_until(lambda: journals(folder), what="the second machine to send")
    return sender


def journals(folder: Path) -> list[Path]:
    return list(folder.glob("journal/*.journal"))


def test_a_sender_that_starts_again_tells_what_the_one_before_it_knew(experiment: Experiment, tmp_path: Path) -> None:
    sender = begin(experiment, tmp_path, slowness=4)
    assert experiment.stage.kill(sender)
    left_behind = journals(tmp_path)
    experiment.wait_until(lambda: not any(map(Path.exists, left_behind)), what="the next one to look")
    assert not experiment.has_ended(), "a campaign that has ended lets nobody wait again"
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert len(verdict.uncertain) <= CONNECTIONS
    assert verdict.by_ledger.sent == PEOPLE - len(verdict.uncertain)
    assert journals(tmp_path) == []


def test_a_machine_that_comes_back_after_the_end_tells_what_it_knew(experiment: Experiment, tmp_path: Path) -> None:
    """Whom it had in hand is uncertain meanwhile; afterwards only those it cannot know of are."""
    sender = begin(experiment, tmp_path)
    experiment.stage.let_go(sender)
    experiment.stage.sink.pause_seconds = 0
    experiment.wait_until(experiment.has_ended, seconds=180, what=lambda: f"the end, {experiment.totals()}")
    in_its_hands = experiment.totals().uncertain
    assert in_its_hands > CONNECTIONS
    start_there(experiment, tmp_path)
    experiment.wait_until(lambda: not journals(tmp_path), what="its journals")
    assert experiment.totals().uncertain < in_its_hands
    verdict = experiment.wait_for_end()
    lost = [each for each in verdict.uncertain if each.reason == "worker_lost"]
    assert (verdict.lost, verdict.doubled, verdict.contradicted) == ([], [], [])
    assert len(lost) <= CONNECTIONS
    assert not any(each.was_delivered for each in verdict.uncertain if each not in lost)
