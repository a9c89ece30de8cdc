"""`flask drill` as its users run it, and what it says when something does not hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from campaigns.delivery.models import Delivery
from campaigns.extensions import db
from campaigns.ops.drill_record import Accepted, read_record, record_line
from campaigns.ops.drill_verdict import judge
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.parts import ROOT, wait_until
from tests.people import make_users

NOT_OURS = ("REDIS_URL", "BROKER_URL", "TESTING")


def flask(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS} | environ
    command = [sys.executable, "-m", "flask", "--app", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=350, check=False)


@pytest.mark.both_databases
def test_a_short_drill_holds_and_leaves_nothing_behind(database_url: str, database_kind: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": database_url, "INSTANCE_DIR": str(tmp_path / "i"), "TMPDIR": str(tmp_path)}
    before = drill_databases(database_url) if database_kind == "postgresql" else set()
    seed, command = ("12", "DATA") if database_kind == "postgresql" else ("11", "BDAT")
    done = flask("drill", "--faults", "3", "--seed", seed, "--recipients", "400", "--json", **environ)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["holds"], answer["lost"], answer["doubled"], answer["equation"]) == (True, 0, 0, True)
    assert answer["totals"]["recipients"] == 400
    assert answer["uncertain"] <= answer["most_uncertain"]
    assert f"Drill with seed {seed}: 400 recipients, 3 faults" in done.stderr
    assert f"contents by {command}" in done.stderr
    assert list(tmp_path.glob("carillon-drill-*")) == []
    if database_kind == "postgresql":
        # Another drill on this machine may have one for a while.
        wait_until(lambda: drill_databases(database_url) <= before, what="the database of the drill to be gone")


def drill_databases(url: str) -> set[str]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'carillon_drill_%'").fetchall()
    return {name for (name,) in rows}


def test_the_drill_leaves_a_database_in_use_alone(app, environ) -> None:
    make_users(1)
    refused = flask("drill-inside", "--faults", "1", "--seed", "1", "--recipients", "10", **environ)
    assert refused.returncode == 1
    assert "This database is in use" in refused.stderr


def test_a_database_server_that_gives_no_database_is_said(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "INSTANCE_DIR": str(tmp_path / "i")}
    refused = flask("drill", **environ)
    assert refused.returncode == 1
    assert "The drill needs a database of its own" in refused.stderr
    assert "unset DATABASE_URL" in refused.stderr


def test_the_verdict_names_whoever_is_lost_doubled_or_contradicted(app, sink, tmp_path: Path) -> None:
    make_users(6)
    sink.refusals["person6@example.com"] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    db.session.get_one(Delivery, (campaign_id, 5)).state = "uncertain"
    db.session.commit()
    record = tmp_path / "accepted.tsv"
    taken = ["person1", "person2", "person2", "person3", "person5", "person6", "stranger"]
    record.write_bytes(b"".join(record_line(Accepted(1.0, f"{n}@example.com", "<m@x>", True)) for n in taken))
    verdict = judge(campaign_id, read_record(record), most_uncertain=0)
    assert verdict.lost == ["person4@example.com"]
    assert verdict.doubled == ["person2@example.com"]
    assert verdict.contradicted == ["person6@example.com"]
    assert verdict.strangers == ["stranger@example.com"]
    assert [(each.address, each.was_delivered) for each in verdict.uncertain] == [("person5@example.com", True)]
    assert not verdict.is_balanced, "the row was changed behind the batch's back"
    assert not verdict.holds
    assert len(verdict.problems) == 6
