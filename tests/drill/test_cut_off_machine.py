"""A second machine whose cable is cut, without a word to anybody: both sides have to notice by themselves."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import pytest
from sqlalchemy import text

from campaigns.delivery import ledger
from campaigns.extensions import db
from campaigns.ops.drill_sink import DrillSink
from tests.delivery.campaigns import launch_and_freeze
from tests.drill.harness import Experiment
from tests.drill.postgres import PostgresServer, private_postgres
from tests.drill.second_machine import HERE, SecondMachine, second_machine
from tests.drill.test_two_machines import PEOPLE, begin
from tests.parts import ROOT
from tests.people import make_users


@pytest.fixture
def machine() -> Iterator[SecondMachine]:
    with second_machine() as made:
        yield made


@pytest.fixture
def server(machine: SecondMachine) -> Iterator[PostgresServer]:
    yield from private_postgres(inside=machine.here(), address=HERE)


@pytest.fixture
def database_url(server: PostgresServer) -> str:
    return server.socket_url


@pytest.fixture
def there(experiment: Experiment, machine: SecondMachine, server: PostgresServer) -> Iterator[list[str]]:
    """The beginning of a command line that runs on the second machine, with this site's settings."""
    own = {
        "DATABASE_URL": server.url,
        "MAIL_SERVERS": experiment.stage.environ["MAIL_SERVERS"].replace("127.0.0.1", HERE),
    }
    with accepts_at(machine.listen(experiment.stage.sink.port), experiment.stage.sink):
        yield machine.there("env", *(f"{name}={value}" for name, value in own.items()))


@contextmanager
def accepts_at(listening: socket.socket, sink: DrillSink) -> Iterator[None]:
    """Let the mail server accept what comes to a further socket, too, while the block runs; closes it."""
    Thread(target=sink.accept_from, args=(listening,), daemon=True).start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.mark.parametrize("lost", [("database",), ("mail server",), ("database", "mail server")], ids=" and ".join)
def test_a_machine_that_is_cut_off_tells_the_truth_when_it_is_back(
    experiment: Experiment,
    machine: SecondMachine,
    server: PostgresServer,
    there: list[str],
    tmp_path: Path,
    lost: tuple[str, ...],
) -> None:
    """Without the database alone it could send on, and does not."""
    begin(experiment, tmp_path, there, slowness=4)
    ports = {"database": server.port, "mail server": experiment.stage.sink.port}
    with ExitStack() as cuts:
        for name in lost:
            cuts.enter_context(machine.cut_off_from(ports[name]))
        if "database" in lost:
            experiment.wait_until(lambda: experiment.totals().uncertain > 0, what="its leases to run out")
        experiment.stage.watch(15)
    assert not experiment.has_ended(), "a campaign that has ended lets nobody wait again"
    experiment.wait_until(lambda: experiment.totals().uncertain == 0, what="it to tell the truth")
    verdict = experiment.wait_for_end()
    assert verdict.problems == []
    assert (verdict.by_ledger.sent, verdict.uncertain) == (PEOPLE, [])


HOLD_A_BATCH = """
import sys
from celery_worker import celery
from campaigns.delivery import ledger
with celery.flask_app.app_context():
    ledger.lock_batch(int(sys.argv[1]), 1)
    print("locked", flush=True)
    input()
"""


def test_a_machine_that_vanishes_in_mid_transaction_keeps_no_batch_from_the_others(
    experiment: Experiment, machine: SecondMachine, server: PostgresServer, there: list[str]
) -> None:
    """By itself the server would keep its lock for two hours, and the sweep would wait for it."""
    make_users(3)
    campaign_id = launch_and_freeze()
    command = [*there, sys.executable, "-c", HOLD_A_BATCH, str(campaign_id)]
    with subprocess.Popen(command, cwd=ROOT, env=experiment.stage.environ, stdin=PIPE, stdout=PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with machine.cut_off_from(server.port):
            db.session.execute(text("SET statement_timeout = '90s'"))
            assert ledger.cancel_waiting(campaign_id, 1) == 0, "the campaign was not cancelled"
        holder.kill()
