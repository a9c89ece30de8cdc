"""Several sealers at once make one chain, also while deeds go on."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import func, select

from campaigns.audit.check_services import check_log
from campaigns.audit.models import AuditEntry
from campaigns.audit.sealing import seal
from campaigns.audit.services import Target, record_action
from campaigns.extensions import db
from tests.audit.entries import add_entries
from tests.parts import ROOT

pytestmark = pytest.mark.both_databases
SEALERS, ENTRIES = 4, 300


def test_sealers_at_once_make_one_chain_without_gaps(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("campaigns.audit.sealing.AT_ONCE", 20)
    add_entries(ENTRIES, sealed=False)
    barrier = Barrier(SEALERS)

    def work(number: int) -> int:
        with app.app_context():
            barrier.wait()
            sealed = 0
            for _ in range(10):
                record_action("campaign.resumed", Target("campaign", number))
                db.session.commit()
                sealed += seal()
            return sealed

    with ThreadPoolExecutor(SEALERS) as pool:
        sealed = sum(pool.map(work, range(SEALERS)))
    every = ENTRIES + 10 * SEALERS
    assert sealed == every
    assert db.session.scalar(select(func.count()).where(AuditEntry.sequence.is_(None))) == 0
    verdict = check_log()
    assert (verdict.problem, verdict.entries) == (None, every)


def test_two_processes_that_check_at_once_both_find_it_whole(app: Flask, environ: dict[str, str]):
    add_entries(ENTRIES, sealed=False)
    command = [sys.executable, "-m", "flask", "--app", "app", "audit", "verify"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env={**environ, "PATH": ""}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [code for _, code in answers] == [0, 0], answers
    assert all(f"{ENTRIES} entries".encode() in out for (out, _err), _code in answers)


def test_the_periodic_task_seals_what_was_done(app: Flask):
    add_entries(2, sealed=False)
    app.extensions["celery"].tasks["audit.seal"]()
    assert db.session.scalars(select(AuditEntry.sequence).order_by(AuditEntry.id)).all() == [1, 2]
