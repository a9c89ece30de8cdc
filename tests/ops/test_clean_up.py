"""Retention: what is old goes, what is needed stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.audience.models import ImportProblem, UserImport
from campaigns.clock import freeze, utcnow
from campaigns.delivery.attempts import tell
from campaigns.delivery.models import AttemptOutcome, Delivery, DeliveryAttempt
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail, OutboxState
from campaigns.mail.services import queue_mail
from campaigns.ops.clean_up import clean_up as run_clean_up
from campaigns.ops.failed_tasks import SET_ASIDE, Failure, record_failure, settle_failure
from campaigns.ops.heartbeats import Kind, all_heartbeats, record_heartbeat
from campaigns.ops.tasks import beat_tick
from tests.delivery.campaigns import launch_and_freeze
from tests.ops.failures import open_failures
from tests.people import make_users

pytestmark = pytest.mark.both_databases


def test_settled_mails_go_after_a_month_and_waiting_ones_stay(app: Flask) -> None:
    for address, settled_days_ago in (("old@example.com", 31), ("new@example.com", 29), ("waiting@example.com", None)):
        mail = queue_mail(
            kind="verify", to_address=address, language="ko", expires_at=utcnow() + timedelta(days=1)
        )  # fmt: skip
        if settled_days_ago is not None:
            mail.state, mail.settled_at = OutboxState.SENT, utcnow() - timedelta(days=settled_days_ago)
    db.session.commit()
    for _ in range(2):
        run_clean_up()
    left = db.session.execute(select(OutboxMail.to_address)).scalars()
    assert set(left) == {"new@example.com", "waiting@example.com"}


def test_failed_tasks_go_a_month_after_they_were_settled_and_three_after_nobody_did(app: Flask) -> None:
    for name, days_ago, settled in (("a", 31, True), ("b", 29, True), ("c", 89, False), ("d", 91, False)):
        with freeze(utcnow() - timedelta(days=days_ago)):
            record_failure(Failure(name, name))
            if settled:
                (failed,) = [each for each in open_failures() if each.name == name]
                settle_failure(failed.id, how=SET_ASIDE)
    run_clean_up()
    db.session.expire_all()
    assert [failed.name for failed in open_failures()] == ["c"]


def test_attempts_go_after_a_year_and_the_ledger_stays(app: Flask) -> None:
    make_users(1)
    campaign_id = launch_and_freeze()
    for days_ago in (366, 364):
        with freeze(utcnow() - timedelta(days=days_ago)):
            tell(AttemptOutcome.UNCERTAIN, Delivery.campaign_id == campaign_id, reason=str(days_ago))
            db.session.commit()
    run_clean_up()
    assert list(db.session.scalars(select(DeliveryAttempt.reason))) == ["364"]
    assert db.session.get(Delivery, (campaign_id, 1))


def test_imports_go_after_three_months_with_the_addresses_that_were_not_taken(app: Flask) -> None:
    for name, days_ago in (("old.csv", 91), ("new.csv", 89)):
        one = UserImport(file_name=name, source_path=name, finished_at=utcnow() - timedelta(days=days_ago))
        db.session.add(one)
        db.session.flush()
        db.session.add(ImportProblem(import_id=one.id, row_number=2, reason="bad_address", value="kim@"))
    db.session.commit()
    run_clean_up()
    assert list(db.session.scalars(select(UserImport.file_name))) == ["new.csv"]
    assert len(list(db.session.scalars(select(ImportProblem)))) == 1


def test_processes_that_vanished_are_forgotten_by_the_tick(app: Flask) -> None:
    with freeze(utcnow() - timedelta(minutes=11)):
        record_heartbeat("lost:1:work", kind=Kind.WORKER, lanes="work")
    record_heartbeat("here:2:work", kind=Kind.WORKER, lanes="work")
    beat_tick()
    assert {each.name for each in all_heartbeats()} == {"here:2:work", "tick"}
