"""PostgreSQL killed in mid-campaign: who holds an outcome waits until the server has recovered, and writes it down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.drill.harness import Experiment
from tests.drill.postgres import PostgresServer, private_postgres


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    yield from private_postgres()


@pytest.fixture
def database_url(server: PostgresServer) -> str:
    return server.url


def test_the_database_killed_three_times_while_a_campaign_is_sent(
    experiment: Experiment, server: PostgresServer
) -> None:
    experiment.start()
    experiment.launch(900)
    for kill in range(1, 4):
        experiment.wait_for_mails(100 * kill)
        server.restart_at_once()
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (900, [])
