"""The database cut off, away, or locked: what is known is kept until it is back, and nothing new leaves meanwhile.

The server is shared, so it is not stopped: every connection to the experiment's own database is cut, and new ones are
refused for a while, which is what a client sees of a server that is away. For seconds, not for five minutes.
"""

from __future__ import annotations

import pytest

from campaigns.ops.drill_faults import lock_sqlite
from tests.drill.harness import Experiment
from tests.drill.postgres import database_away


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "postgresql")


def test_no_new_mail_leaves_while_the_database_is_away(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(800)
    experiment.wait_for_mails(100)
    with database_away(experiment.settings.database_url):
        experiment.wait_until(lambda: nothing_arrives_for(4, experiment), what="what was claimed to be sent")
        assert experiment.stage.sink.accepted < 800
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])


def nothing_arrives_for(seconds: float, experiment: Experiment) -> bool:
    before = experiment.stage.sink.accepted
    experiment.stage.watch(seconds)
    return experiment.stage.sink.accepted == before


def test_a_database_that_is_away_for_longer_than_a_sender_waits(experiment: Experiment) -> None:
    """For twelve seconds, and the sender waits for three, not for ten minutes; its journal tells what it knew."""
    experiment.start("work", "beat")
    experiment.start_more("mail.bulk-1", extra=("-I", "tests.drill.impatient"))
    experiment.launch(800)
    experiment.wait_for_mails(150)
    with database_away(experiment.settings.database_url):
        experiment.stage.watch(12)
        assert any(experiment.settings.journal_dir.glob("*.journal")), "what it knew is still to be written down"
    verdict = experiment.wait_for_end()
    assert "raised unexpected" in experiment.stage.child("mail.bulk-1").log_path.read_text(), "it has given up"
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (800, [])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_sqlite_locked_for_longer_than_a_lease(experiment: Experiment) -> None:
    experiment.start()
    experiment.launch(900)
    experiment.wait_for_mails(100)
    lock_sqlite(experiment.settings.database_url, seconds=8)
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (900, [])
