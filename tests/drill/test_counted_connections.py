"""How many recipients a kill may leave uncertain: one for each connection that the killed process had open, no more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from campaigns.delivery.queries import Totals
from campaigns.ops import process_sockets
from campaigns.ops.drill_verdict import Uncertain, Verdict
from campaigns.ops.processes import ProcessPlan
from tests.drill.harness import Experiment

# Each connection is in the middle of a content; the process starts another that holds one more.
CLIENT = """
import os, socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
if os.fork() == 0:
    count = 1
kept = []
for _ in range(count):
    client = socket.create_connection(("127.0.0.1", port))
    kept.append(client)
    replies = client.makefile("rb")
    replies.readline()
    client.sendall(b"MAIL FROM:<a@example.com>\\r\\nRCPT TO:<b@example.com>\\r\\nDATA\\r\\n")
    assert b"354" in [replies.readline() for _ in range(3)][-1]
    client.sendall(b"Subject: half\\r\\n")
time.sleep(600)
"""


def start_clients(experiment: Experiment, **connections: int) -> None:
    """Start senders that have so many connections, one of each in a process that they have started."""
    stage = experiment.stage
    stage.start_sink()
    for name, count in connections.items():
        command = [sys.executable, "-c", CLIENT, str(stage.sink.port), str(count - 1)]
        experiment.start_plan(ProcessPlan(name, command))
    total = sum(connections.values())
    experiment.wait_until(lambda: stage.sink.open_connections == total, what="the connections")


def kill_for_good(experiment: Experiment, name: str) -> None:
    experiment.stage.let_go(experiment.stage.child(name))


def test_only_the_killed_process_s_connections_count_and_each_once(experiment: Experiment) -> None:
    start_clients(experiment, **{"mail.bulk-1": 2, "mail.bulk-2": 4})
    sink = experiment.stage.sink
    kill_for_good(experiment, "mail.bulk-1")
    assert experiment.stage.most_uncertain == 2
    experiment.wait_until(lambda: sink.open_connections == 4, what="the connections to be lost")
    assert experiment.stage.most_uncertain == 2, "they were in mid-content, and had been counted already"
    kill_for_good(experiment, "mail.bulk-2")
    assert (experiment.stage.most_uncertain, experiment.stage.last_cut) == (6, 4)
    assert experiment.stage.knows_whose


def test_where_the_system_does_not_tell_everybody_s_count_and_the_drill_says_so(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start_clients(experiment, **{"mail.bulk-1": 2, "mail.bulk-2": 4})
    monkeypatch.setattr(process_sockets, "PROC", tmp_path)  # as where there is no such folder
    kill_for_good(experiment, "mail.bulk-1")
    assert experiment.stage.most_uncertain == 6
    assert not experiment.stage.knows_whose


def test_one_more_uncertain_than_connections_is_a_problem_and_the_bound_is_named() -> None:
    totals = Totals(id=1, state="sent", candidates=3, recipients=3, excluded=0, sent=0, uncertain=3)
    uncertain = [Uncertain(f"p{n}@example.com", "worker_lost", was_delivered=False) for n in range(3)]
    assert Verdict(totals, totals, most_uncertain=3, uncertain=uncertain).problems == []
    assert "3 uncertain are more than the 2 connections cut" in str(
        Verdict(totals, totals, most_uncertain=2, uncertain=uncertain).problems
    )
    assert "loose" not in Verdict(totals, totals, 3).bound_in_words
    assert "loose" in Verdict(totals, totals, 3, knows_whose=False).bound_in_words
