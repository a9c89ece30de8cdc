"""A chord that can never complete, or whose callback is lost: the sweep closes the campaign, with the same totals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from campaigns.compose.models import Campaign
from campaigns.extensions import db
from tests.drill.harness import Experiment

CONNECTIONS = 2 * 4  # of a sender: two batches at once, each over so many
DYING = ("-I", "tests.drill.dying")
# Which pool: a whole worker dies with its threads; of forked processes one dies, and its task is redelivered at once.
MOMENTS = [
    ("threads", "before a part is counted"),
    ("threads", "before the callback is published"),
    ("threads", "after the callback is published"),
    ("threads", "half way through the publishing"),
    ("prefork", "before a part is counted"),
    ("prefork", "after a part is counted"),
    ("prefork", "before the callback is published"),
]


@pytest.mark.parametrize(("pool", "moment"), MOMENTS)
def test_whoever_dies_at_the_worst_moment_of_a_chord(
    make_experiment: Callable[..., Experiment], pool: str, moment: str
) -> None:
    experiment = make_experiment(DIE_WHEN=moment)
    experiment.start("beat")
    experiment.start_more("work", extra=DYING)
    experiment.start_more("mail.bulk-1", extra=DYING, threads=pool)
    experiment.stage.most_uncertain_by_kills += CONNECTIONS
    experiment.launch(400, milliseconds_each=20)
    verdict = experiment.wait_for_end()
    assert (experiment.settings.instance_dir / "died").exists()
    assert verdict.problems == []
    assert verdict.by_ledger.sent + len(verdict.uncertain) == 400
    recorded = db.session.get_one(Campaign, experiment.campaign_id).totals
    assert (recorded["sent"], recorded["uncertain"]) == (verdict.by_ledger.sent, len(verdict.uncertain))
