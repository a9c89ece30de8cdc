"""`flask doctor`: a site that is well has nothing to mend; each thing that is broken is named, with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from campaigns.celery import LANES
from campaigns.clock import freeze, utcnow
from campaigns.config import current_settings
from campaigns.delivery.copy_guard import mark_restored
from campaigns.extensions import db
from campaigns.findings import Finding
from campaigns.ops.heartbeats import SILENT_AFTER, Kind, record_heartbeat
from campaigns.upkeep.doctor import Wishes, examine
from tests.mail.scripted_server import ScriptedServer
from tests.parts import ROOT, RedisServer, opened, short_folder
from tests.smtp_sink import free_port

Found = dict[str, list[Finding]]


@pytest.fixture
def well(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a site that is well: served at its public address, all processes alive."""
    port = free_port()
    own = {**environ, "SECRET_KEY": "k" * 40, "PUBLIC_BASE_URL": f"http://127.0.0.1:{port}"}
    own["MAIL_DEFAULT_SENDER"] = "Carillon <news@example.test>"
    with opened(own) as app:
        report_all()
        server = make_server("127.0.0.1", port, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield own
        server.shutdown()
        server.server_close()


def report_all() -> None:
    record_heartbeat("host:1:all", kind=Kind.WORKER, lanes=",".join(LANES))
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    record_heartbeat("tick", kind=Kind.TICK)


def look() -> Found:
    found: Found = {}
    for finding in examine(Wishes(offline=True)):
        found.setdefault(finding.check, []).append(finding)
    return found


def levels(found: Found, check: str) -> set[str]:
    return {finding.level for finding in found[check]}


@pytest.mark.both_databases
def test_a_site_that_is_well(well: dict[str, str]) -> None:
    command = [sys.executable, "-m", "flask", "--app", "app", "doctor", "--offline", "--json"]
    ran = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **well}, capture_output=True, text=True, check=False
    )
    findings = json.loads(ran.stdout)["findings"]
    assert [finding for finding in findings if finding["level"] in ("bad", "warn")] == []
    assert ran.returncode == 0
    checks = {finding["check"].split(" ")[0] for finding in findings}
    assert checks >= {"settings", "disk", "journals", "database", "migrations", "redis", "broker", "lane", "beat"}


def test_words_for_people_say_what_to_do(well: dict[str, str]) -> None:
    command = [sys.executable, "-m", "flask", "--app", "app", "doctor", "--offline"]
    own = {"PATH": "/usr/bin:/bin", **well, "MAIL_PORT": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert " bad  mail server 127.0.0.1:1: " in ran.stdout
    assert "→ Check host, port and firewall" in ran.stdout


@pytest.mark.parametrize(
    ("changes", "check", "advice"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "REDIS_URL"),
        ({"BROKER_URL": "redis://127.0.0.1:1/0"}, "broker", "BROKER_URL"),
        ({"BROKER_URL": "amqp://guest:secret@127.0.0.1:1//"}, "broker", "rabbitmq-diagnostics"),
        ({"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": "1"}, "mail server 127.0.0.1:1", "firewall"),
        ({"SECRET_KEY": "short"}, "secret key", "long random"),
        ({"PUBLIC_BASE_URL": "http://127.0.0.1:1"}, "public address", "proxy"),
        ({"DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}, "database", "DATABASE_URL"),
    ],
)
def test_what_is_broken_is_named(well: dict[str, str], changes: dict[str, str], check: str, advice: str) -> None:
    with opened(well, **changes):
        found = look()
        (wrong,) = [finding for finding in found[check] if finding.level == "bad" and advice in finding.advice]
    assert "secret" not in wrong.found + wrong.advice


def test_a_journal_that_was_set_aside_is_named(app: Flask) -> None:
    (current_settings().journal_dir / "7-ab.unreadable").touch()
    (set_aside,) = [finding for finding in look()["journals"] if finding.level == "warn"]
    assert "7-ab.unreadable" in set_aside.found


def test_a_machine_that_signs_with_another_key_is_named(app: Flask, environ: dict[str, str]) -> None:
    report_all()
    with opened(environ, SECRET_KEY="the-key-of-another-machine"):
        record_heartbeat("other:1:all", kind=Kind.WORKER, lanes="mail.bulk")
    (wrong,) = [finding for finding in look()["secret key"] if "another one" in finding.found]
    assert wrong.found.startswith("processes on other ")


def test_a_lane_without_a_worker_and_a_beat_that_stands(app: Flask) -> None:
    record_heartbeat("host:1:now", kind=Kind.WORKER, lanes="mail.now")
    found = look()
    assert levels(found, "lane mail.now") == {"ok"}
    assert "-Q mail.bulk" in found["lane mail.bulk"][0].advice
    assert "Start it" in found["beat"][0].advice
    report_all()
    with freeze(utcnow() + SILENT_AFTER):
        assert levels(look(), "lane mail.now") == {"bad"}


def test_a_beat_whose_ticks_do_not_arrive(app: Flask) -> None:
    record_heartbeat("host:2:beat", kind=Kind.BEAT)
    assert "reach no worker" in look()["beat"][0].found


@pytest.fixture
def behind(app: Flask) -> Iterator[None]:
    """The database says it stands where the first release stood; others use the same one afterwards."""
    newest = db.session.scalar(db.text("SELECT version_num FROM alembic_version"))
    set_revision("0001")
    yield
    set_revision(str(newest))


def set_revision(revision: str) -> None:
    db.session.execute(db.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    db.session.commit()


@pytest.mark.both_databases
@pytest.mark.usefixtures("behind")
def test_a_database_that_is_behind() -> None:
    (finding,) = look()["migrations"]
    assert (finding.level, finding.advice) == ("bad", "Run: flask upgrade")


def test_a_redis_that_would_drop_what_it_is_given(environ: dict[str, str]) -> None:
    server = RedisServer(short_folder())
    server.start()
    try:
        with server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("appendonly", "no")
        with opened(environ, REDIS_URL=server.url):
            found = look()
        assert levels(found, "redis memory") == {"bad"}
        assert levels(found, "redis disk") == {"warn"}
    finally:
        server.stop()


def test_a_mail_server_that_refuses_the_log_in(environ: dict[str, str]) -> None:
    with ScriptedServer(offers=["AUTH PLAIN LOGIN"], auth="535 5.7.8 wrong") as server:
        port = server.settings().port
        with opened(environ, MAIL_PORT=str(port), MAIL_USERNAME="ada", MAIL_PASSWORD="hunter2hunter2"):
            (finding,) = look()[f"mail server 127.0.0.1:{port}"]
    assert (finding.level, "535" in finding.found) == ("bad", True)
    assert "user name and password" in finding.advice
    assert any("535 5.7.8 wrong" in line for line in finding.lines)
    assert "hunter2" not in str(finding)
    assert b64encode(b"\0ada\0hunter2hunter2").decode() not in str(finding)


def test_a_key_that_others_can_read(environ: dict[str, str]) -> None:
    with opened(environ, SECRET_KEY=""):
        key = Path(environ["INSTANCE_DIR"]) / "secret_key"
        key.chmod(0o644)
        (finding,) = look()["secret key"]
    assert finding.advice == f"chmod 600 {key}"


def test_a_copied_database_is_said(app: Flask) -> None:
    mark_restored()
    db.session.commit()
    assert any("/copied-database" in finding.advice for finding in look()["database"])
