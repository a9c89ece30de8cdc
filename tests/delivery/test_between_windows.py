"""A batch of two windows: whatever ends it between them or in the second, the first stays as it was answered."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from campaigns.accounts.models import User
from campaigns.celery import enqueue
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.delivery import ledger, sending, states, stopping
from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import Batch, Delivery, DeliveryState, RateSample
from campaigns.delivery.queries import Totals, campaign_totals, ledger_totals
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.rates import Rates
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.delivery.tasks import send_batch
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_in_thread, send_round
from tests.parts import wait_until
from tests.people import make_users

WINDOW = sending.WINDOW_ROWS
SENDER = ("celery", "-A", "celery_worker", "worker", "-Q", "mail.bulk", "-P", "threads", "-c", "1", "-n", "bulk@%h")
PEOPLE, BATCH = 12_000, 600  # the first batch, a twentieth of them, is a window and a fifth of one
LEASE_FOR = timedelta(seconds=30)
DAY = Rates(per_day=100_000)


def change_settings(app: Flask, **values: Any) -> None:
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], **values)


def sent_today() -> int:
    """Return how many mails of the day's limit are used up."""
    return DAY.per_day - shared_limiter().take(DAY, DAY.per_day).mails


@pytest.fixture
def campaign_id(app) -> int:
    make_users(PEOPLE)
    return launch_and_freeze()


@pytest.fixture
def stop_request() -> Iterator[Callable[[], None]]:
    yield lambda: stopping.begin()
    stopping.end()


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


@pytest.mark.parametrize("ending", ["pause", "sigterm"])
def test_turns_of_a_window_that_was_stopped_count_for_no_day(app, sink, campaign_id, stop_request, ending):
    change_settings(app, rate_per_day=DAY.per_day)
    sink.pause_seconds = 0.02
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: sink.mails)
    assert states.pause(campaign_id) if ending == "pause" else stop_request() is None
    thread.join(timeout=60)
    assert 0 < len(sink.mails) < WINDOW
    assert sent_today() == len(sink.mails)


def test_turns_of_a_window_that_was_never_claimed_count_for_no_day(app, sink, campaign_id):
    change_settings(app, rate_per_day=DAY.per_day)
    sink.pause_seconds = 0.02
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: len(sink.mails) > WINDOW - 5)
    states.pause(campaign_id)
    thread.join(timeout=60)
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain) == (len(sink.mails), 0, 0)
    assert sent_today() == len(sink.mails)


def test_a_server_that_refuses_the_sender_uses_up_no_day(app, sink):
    change_settings(app, rate_per_day=DAY.per_day)
    make_users(30)
    sink.refuse_sender = "550 5.7.1 Sender not allowed"
    send_round(launch_and_freeze())
    assert sent_today() == 0


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
    change_settings(app, mail_max_emails=250)
    sending.send_batch(campaign_id, 1)
    assert list(Counter(mail.connection for mail in sink.mails).values()) == [250, 250, 100]


@pytest.mark.both_databases
def test_a_pause_between_two_windows_lets_the_second_wait_untouched(app, sink, campaign_id):
    sink.pause_seconds = 0.005
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: len(sink.mails) > WINDOW - 20)
    states.pause(campaign_id)
    thread.join(timeout=60)
    totals = counts(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain) == (len(sink.mails), 0, 0)
    assert states.resume(campaign_id)
    sink.pause_seconds = 0
    sending.send_batch(campaign_id, 1)
    assert counts(campaign_id).sent == len(sink.mails) == len({mail.recipient for mail in sink.mails}) == BATCH


@pytest.mark.both_databases
def test_a_sender_killed_in_the_second_window_leaves_the_first_as_it_was(app, sink, campaign_id, start_process):
    """Its journal says nothing of the first any more, and its lease's token is on both."""
    sink.refusals["person7@example.com"] = "451 4.3.0 Come back later"
    sink.pause_seconds = 0.01
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
    assert (totals.sending, totals.deferred, totals.uncertain <= 1) == (0, 1, True)
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
