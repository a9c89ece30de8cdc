"""A mail server that is far away: the time goes into waiting, so more threads send more at once.

How many mails a second that makes is measured by `make bench`; here it is only told whether threads wait side by side.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest
from flask import Flask
from sqlalchemy import func, select

from campaigns.accounts.models import User
from campaigns.delivery import rounds, sending
from campaigns.delivery.queries import campaign_totals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.parts import ROOT, close_connections, end_process_group, wait_until
from tests.people import make_users
from tests.smtp_sink import Sink, free_port

EACH_WAY_MILLISECONDS = 100  # so far that waiting outweighs whatever else this machine is doing
THREADS = 8
MAILS_PER_BATCH = 2


@pytest.fixture
def far_away(app: Flask, sink: Sink) -> Iterator[None]:
    """Let the mail server be 200 ms away."""
    port = free_port()
    command = [sys.executable, "-m", "bench.delay_proxy", str(EACH_WAY_MILLISECONDS), str(port), str(sink.port)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    wait_until(lambda: answers(port))
    settings = app.extensions["carillon.settings"]
    app.extensions["carillon.settings"] = replace(settings, mail_port=port, batch_size=MAILS_PER_BATCH)
    yield
    close_connections()
    end_process_group(process)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def seconds_to_send(app: Flask, batches: int, *, threads: int) -> float:
    """Send a campaign to so many batches of people, those that are there already included."""
    people = db.session.scalar(select(func.count(User.id)))
    make_users(batches * MAILS_PER_BATCH - people, prefix=f"with{threads}-")
    campaign_id = launch_and_freeze()
    planned = rounds.plan_round(campaign_id)
    left = list(planned.batches)
    started = time.monotonic()

    def work() -> None:
        with app.app_context():
            while left:
                sending.send_batch(campaign_id, left.pop())

    workers = [Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - started
    assert rounds.finish(campaign_id) is rounds.Progress.DONE
    assert campaign_totals(campaign_id).balances
    return seconds


def test_threads_wait_for_a_far_server_side_by_side(app, sink, far_away):
    alone = seconds_to_send(app, 2, threads=1) / len(sink.mails)
    sink.mails.clear()
    together = seconds_to_send(app, 2 * THREADS, threads=THREADS) / len(sink.mails)
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 2 * THREADS * MAILS_PER_BATCH
    assert alone / together > THREADS / 4, (alone, together)
