"""A batch of two windows: whatever ends it between them or in the second, the first stays as it was answered."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.clock import freeze, utcnow
from campaigns.config import current_settings
from campaigns.delivery import ledger, sending, states
from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import Batch, Delivery, DeliveryState, RateSample
from campaigns.delivery.queries import Totals, campaign_totals, ledger_totals
from campaigns.delivery.reconcile import reconcile
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.delivery.tasks import send_batch
from campaigns.extensions import db
from tests.delivery.campaigns import SENDER, launch_and_freeze, pause_after, send_in_thread
from tests.drill.postgres import database_away
from tests.parts import wait_until
from tests.people import make_users
from tests.smtp_sink import Sink

WINDOW = sending.WINDOW_ROWS
PEOPLE, BATCH = 12_000, 600  # the first batch, a twentieth of them, is a window and a fifth of one
LEASE_FOR = timedelta(seconds=30)


def change_settings(app: Flask, **values: Any) -> None:
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], **values)


@pytest.fixture
def campaign_id(app) -> int:
    make_users(PEOPLE)
    return launch_and_freeze()


def assert_each_got_one(sink: Sink, campaign_id: int) -> None:
    """The whole first batch, and nobody else, has the mail, once, and the ledger says so."""
    assert len(sink.mails) == len({mail.recipient for mail in sink.mails}) == BATCH
    totals = counts(campaign_id)
    assert (totals.sent, totals.uncertain, totals.waiting) == (BATCH, 0, PEOPLE - BATCH)


def counts(campaign_id: int) -> Totals:
    db.session.rollback()
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)
    return totals


def rows_between(campaign_id: int, first: int, last: int) -> list[tuple[Any, ...]]:
    db.session.rollback()
    columns = Delivery.position, Delivery.state, Delivery.reason, Delivery.settled_at, Delivery.attempts
    within = Delivery.campaign_id == campaign_id, Delivery.position.between(first, last)
    return [tuple(row) for row in db.session.execute(select(*columns).where(*within).order_by(Delivery.position))]


def sent_by_samples() -> int:
    """Return how many mails went out according to what the rate, its chart and the day's limit are told."""
    return db.session.scalar(select(func.sum(RateSample.sent))) or 0


@pytest.mark.both_databases
def test_many_who_unsubscribed_in_a_row_are_skipped_however_small_the_window(app, sink):
    change_settings(app, rate_per_second=1)
    make_users(20_000)
    campaign_id = launch_and_freeze()
    db.session.execute(update(User).values(unsubscribed_at=utcnow()))
    db.session.commit()
    assert sending.send_batch(campaign_id, 1).ended == "done"
    totals = counts(campaign_id)
    assert (totals.skipped, totals.sent, totals.waiting) == (1_000, 0, 19_000)


def test_a_connection_is_renewed_after_as_many_mails_as_the_setting_says(app, sink, campaign_id):
    change_settings(app, mail_max_emails=250, bulk_connections=1)
    sending.send_batch(campaign_id, 1)
    assert list(Counter(mail.connection for mail in sink.mails).values()) == [250, 250, 100]


def test_each_of_several_connections_is_renewed_after_as_many_mails(app, sink, campaign_id):
    change_settings(app, mail_max_emails=40, bulk_connections=3)
    sending.send_batch(campaign_id, 1)
    by_connection = Counter(mail.connection for mail in sink.mails)
    assert max(by_connection.values()) == 40
    assert by_connection.total() == 600


@pytest.mark.both_databases
def test_a_pause_between_two_windows_lets_the_second_wait_untouched(app, sink, campaign_id):
    pause_after(app, sink, campaign_id, WINDOW - 5)
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain) == (len(sink.mails), 0, 0)
    assert states.resume(campaign_id)
    sink.pause_seconds = 0
    sending.send_batch(campaign_id, 1)
    assert_each_got_one(sink, campaign_id)


@pytest.mark.both_databases
def test_a_budget_that_ends_between_two_windows_leaves_the_second_to_the_next_run(app, sink, campaign_id, monkeypatch):
    passed = [0]
    monkeypatch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0]))
    sink.at_mail[WINDOW] = lambda: passed.append(passed.pop() + sending.BATCH_BUDGET_SECONDS)
    assert sending.send_batch(campaign_id, 1).as_dict() == {
        "campaign": campaign_id, "batch": 1, "settled": WINDOW, "ended": "budget",
    }  # fmt: skip
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.waiting) == (WINDOW, 0, PEOPLE - WINDOW)
    assert sending.send_batch(campaign_id, 1).ended == "done"
    assert_each_got_one(sink, campaign_id)


@pytest.mark.both_databases
def test_a_lease_lost_between_two_windows_costs_nobody_and_the_first_is_told(app, sink, campaign_id):
    """Another takes the batch while the last of the first window is answered, and has some who wait in hand."""
    is_between, go_on = threading.Event(), threading.Event()
    sink.at_mail[WINDOW] = lambda: is_between.set() or go_on.wait(90)
    thread = send_in_thread(app, campaign_id)
    assert is_between.wait(90)
    db.session.execute(update(Batch).where(Batch.number == 1).values(lease_until=utcnow()))
    db.session.commit()
    assert ledger.abandon_expired(campaign_id, 1) == WINDOW
    other = ledger.take_lease(campaign_id, 1, worker="other", lease_for=LEASE_FOR)
    assert len(ledger.settle_and_claim(other, (), size=40, lease_for=LEASE_FOR)) == 40
    go_on.set()
    thread.join(timeout=60)
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain, len(sink.mails)) == (WINDOW, 40, 0, WINDOW)
    ledger.settle_and_release(other, ())
    assert sending.send_batch(campaign_id, 1).ended == "done"
    assert_each_got_one(sink, campaign_id)
    assert sent_by_samples() == BATCH


@pytest.mark.both_databases
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_in_mid_window_costs_nobody_and_sends_to_nobody_twice(app, sink, campaign_id, hours):
    """Ahead, every lease seems to be over: who is in hand is uncertain until its sender, which goes on, has told."""
    is_between, go_on = threading.Event(), threading.Event()
    sink.at_mail[WINDOW // 2] = lambda: is_between.set() or go_on.wait(90)
    thread = send_in_thread(app, campaign_id)
    assert is_between.wait(90)
    with freeze(utcnow() + timedelta(hours=hours)):
        reconcile(broker_is_empty=True)
        assert counts(campaign_id).uncertain == (WINDOW if hours > 0 else 0)
        other = ledger.take_lease(campaign_id, 1, worker="other", lease_for=LEASE_FOR)
        assert bool(other) == (hours > 0)
        go_on.set()
        thread.join(timeout=60)
    if other:
        ledger.settle_and_release(other, ())
    sending.send_batch(campaign_id, 1)
    assert_each_got_one(sink, campaign_id)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_database_that_is_away_between_two_windows_is_waited_for(app, sink, campaign_id, database_url, caplog):
    away = ExitStack()
    sink.at_mail[WINDOW] = lambda: away.enter_context(database_away(database_url))
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: "the database is away" in caplog.text)
    away.close()
    thread.join(timeout=60)
    assert_each_got_one(sink, campaign_id)


@pytest.mark.both_databases
@pytest.mark.parametrize("moment", ["not yet emptied", "emptied"])
def test_a_sender_killed_between_the_windows_leaves_nobody_uncertain(app, sink, campaign_id, start_process, moment):
    """Its answers are written down and the second window is claimed; its journal may still tell of the first."""
    enqueue(send_batch, campaign_id, 1)
    if moment == "emptied":
        worker = start_process(*SENDER)
        sink.at_sender[WINDOW + 1] = lambda: os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker = start_process(*SENDER, "-I", "tests.drill.dying", DIE_WHEN="between two windows")
    worker.wait(90)
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, len(sink.mails)) == (WINDOW, BATCH - WINDOW, WINDOW)
    (journal,) = Path(current_settings().journal_dir).glob("*.journal")
    assert (len(journal.read_text().splitlines()) == 1) == (moment == "emptied")
    assert replay_dead_journals(current_settings().journal_dir) == 1
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain) == (WINDOW, 0, 0)
    assert sending.send_batch(campaign_id, 1).ended == "done"
    assert_each_got_one(sink, campaign_id)


@pytest.mark.both_databases
def test_a_sender_killed_in_the_second_window_leaves_the_first_as_it_was(app, sink, campaign_id, start_process):
    """Its journal says nothing of the first any more, and its lease's token is on both."""
    sink.refusals["person7@example.com"] = "451 4.3.0 Come back later"
    sink.pause_seconds = 0.04
    enqueue(send_batch, campaign_id, 1)
    worker = start_process(*SENDER)
    wait_until(lambda: len(sink.mails) > WINDOW + 20)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    first = rows_between(campaign_id, 1, WINDOW)
    (journal,) = Path(current_settings().journal_dir).glob("*.journal")
    noted = {int(line.split("\t")[1]) for line in journal.read_text().splitlines()[1:]}
    assert min(noted) > WINDOW
    assert replay_dead_journals(current_settings().journal_dir) == 1
    assert rows_between(campaign_id, 1, WINDOW) == first
    assert {state for _, state, *_ in first} == {"sent", "deferred"}
    totals = counts(campaign_id)
    assert (totals.sending, totals.deferred, totals.uncertain <= 4) == (0, 1, True)
    assert totals.waiting == PEOPLE - 1 - totals.sent - totals.uncertain
    assert db.session.get(Batch, (campaign_id, 1)).next_attempt_at is not None
    assert sent_by_samples() == totals.sent


def test_the_brake_acts_before_the_second_window(app, sink, campaign_id):
    for number in range(1, BATCH + 1):
        sink.refusals[f"person{number}@example.com"] = "550 5.1.1 No such user"
    sending.send_batch(campaign_id, 1)
    totals = counts(campaign_id)
    assert (totals.state, totals.failed, totals.sending) == ("paused", WINDOW, 0)


def test_an_answer_that_is_told_again_adds_to_no_rate(app):
    """A commit whose answer got lost, or a sender that was killed before it could empty its journal."""
    make_users(3)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="one", lease_for=LEASE_FOR)
    ledger.settle_and_claim(lease, (), size=2, lease_for=LEASE_FOR)
    sent = [Settlement(position, DeliveryState.SENT) for position in (1, 2)]
    for _ in range(2):
        ledger.settle_and_claim(lease, sent, size=0, lease_for=LEASE_FOR)
        ledger.settle(lease, sent)
    assert sent_by_samples() == 2
