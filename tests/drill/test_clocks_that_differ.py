"""Machines whose clocks differ by ten minutes share a site: nobody's lease is over, nothing is dropped, all adds up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from campaigns.extensions import db
from campaigns.ops.heartbeats import Kind, all_heartbeats
from campaigns.ops.processes import ProcessPlan, working_processes
from tests.drill.harness import Experiment
from tests.parts import ROOT, skip

TEN_MINUTES = 600
WORKERS = ("mail.bulk-1", "mail.bulk-2", "work", "beat")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes a process see another time."""
    compiler = shutil.which("cc") or skip("no C compiler (cc) is installed")
    built = tmp_path_factory.mktemp("clock") / "other_clock.so"
    source = Path(__file__).with_name("other_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


def other_clock(library: Path, ahead_seconds: int) -> Sequence[str]:
    """The beginning of a command line whose process takes it to be so many seconds later than it is."""
    return ["env", f"LD_PRELOAD={library}", f"CLOCK_AHEAD_SECONDS={ahead_seconds}"]


def start_elsewhere(experiment: Experiment, clock: Sequence[str], *names: str) -> None:
    for plan in working_processes(experiment.settings):
        if plan.name in names:
            experiment.start_plan(ProcessPlan(plan.name, [*clock, *plan.arguments]))


def tick_has_come() -> bool:
    db.session.rollback()
    return any(each.kind == Kind.TICK for each in all_heartbeats())


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize("ahead_seconds", [TEN_MINUTES, -TEN_MINUTES])
@pytest.mark.parametrize("elsewhere", [["mail.bulk-2"], ["work"], ["beat"]])
def test_a_campaign_over_machines_whose_clocks_differ(
    experiment: Experiment, library: Path, elsewhere: list[str], ahead_seconds: int
) -> None:
    """Its leases are nobody's to take over while they are kept, its people nobody's to call uncertain."""
    experiment.start(*(name for name in WORKERS if name not in elsewhere))
    start_elsewhere(experiment, other_clock(library, ahead_seconds), *elsewhere)
    experiment.launch(600)
    uncertain: list[int] = []

    def has_ended() -> bool:
        uncertain.append(experiment.totals().uncertain)
        return experiment.has_ended()

    experiment.wait_until(has_ended, seconds=180, what=lambda: f"the end, {experiment.totals()}")
    experiment.wait_until(tick_has_come, what="a message of beat's that nobody took for too old")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, max(uncertain)) == (600, 0)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("ahead_seconds", "words"), [(TEN_MINUTES, "ahead of"), (-TEN_MINUTES, "behind")])
def test_doctor_says_by_how_much(experiment: Experiment, library: Path, ahead_seconds: int, words: str) -> None:
    command = [*other_clock(library, ahead_seconds), sys.executable, "-m", "flask", "doctor", "--offline", "--json"]
    ran = subprocess.run(command, cwd=ROOT, env=experiment.stage.environ, capture_output=True, text=True, check=False)
    found = [each["found"] for each in json.loads(ran.stdout)["findings"] if each["check"] == "clock"]
    assert re.fullmatch(f"(599|600)\\.\\d s {words} that of the database", found[0]), found
