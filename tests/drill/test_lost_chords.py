"""A chord that can never complete, or whose callback is lost: the sweep closes the campaign, with the same totals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.drill.harness import Experiment

THREADS = 2
MOMENTS = ("before a part is counted", "before the callback is published", "after the callback is published")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sender_that_dies_at_the_worst_moment_of_its_chord(
    make_experiment: Callable[..., Experiment], moment: str
) -> None:
    experiment = make_experiment(DIE_WHEN=moment)
    experiment.start("work", "beat")
    experiment.start_more("mail.bulk-1", extra=("-I", "tests.drill.dying"))
    experiment.stage.most_uncertain_by_kills += THREADS
    experiment.launch(400, milliseconds_each=5)
    verdict = experiment.wait_for_end()
    assert (experiment.settings.instance_dir / "died").exists()
    assert verdict.problems == []
    assert verdict.by_ledger.sent + len(verdict.uncertain) == 400
