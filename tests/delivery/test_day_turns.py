"""The day's limit counts those to whom something went: turns that a window did not use go back, and no others do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import String, cast, update

from campaigns.celery import enqueue
from campaigns.config import current_settings
from campaigns.delivery import ledger, sending, states, stopping
from campaigns.delivery.journal import Journal
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import campaign_totals
from campaigns.delivery.rate_limit import shared_limiter
from campaigns.delivery.rates import Rates
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.delivery.tasks import send_batch
from campaigns.delivery.turns import Turns
from campaigns.extensions import db
from tests.delivery.campaigns import SENDER, launch_and_freeze, pause_after, send_round, send_until
from tests.parts import wait_until
from tests.people import make_users

WINDOW = sending.WINDOW_ROWS
PEOPLE, BATCH = 12_000, 600  # the first batch, a twentieth of them, is a window and a fifth of one
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


@pytest.mark.parametrize("ending", ["pause", "sigterm"])
def test_turns_of_a_window_that_was_stopped_count_for_no_day(app, sink, campaign_id, stop_request, ending):
    change_settings(app, rate_per_day=DAY.per_day)
    sink.pause_seconds = 0.02
    thread = send_until(app, campaign_id, lambda: sink.mails)
    assert states.pause(campaign_id) if ending == "pause" else stop_request() is None
    thread.join(timeout=60)
    assert 0 < len(sink.mails) < WINDOW
    assert sent_today() == len(sink.mails)


def test_turns_of_a_window_that_was_never_claimed_count_for_no_day(app, sink, campaign_id):
    change_settings(app, rate_per_day=DAY.per_day)
    pause_after(app, sink, campaign_id, WINDOW - 5)
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.sending, totals.uncertain) == (len(sink.mails), 0, 0)
    assert sent_today() == len(sink.mails)


@pytest.mark.parametrize(
    ("at_first", "later", "counted"), [(DAY.per_day, 550, 400), (DAY.per_day, 0, 300), (0, 5000, 101)]
)
def test_turns_go_back_where_they_were_taken_though_the_limit_has_changed(
    app, sink, campaign_id, at_first, later, counted
):
    """Of the first window 200 use no turn; a limit that came only after it has counted none of them."""
    shared_limiter().take(DAY, 1 if not at_first else 0)
    change_settings(app, rate_per_day=at_first, brake_failed_percent=0)
    cannot_get_mail = Delivery.campaign_id == campaign_id, Delivery.position <= 200
    db.session.execute(
        update(Delivery).where(*cannot_get_mail).values(address=cast(Delivery.position, String) + "@in valid")
    )
    db.session.commit()
    sink.at_mail[WINDOW - 200] = lambda: change_settings(app, rate_per_day=later)
    for _ in range(3):  # a run that has used up the day ends
        sending.send_batch(campaign_id, 1)
    assert len(sink.mails) == BATCH - 200
    assert sent_today() == counted


def test_turns_that_were_given_while_redis_was_away_go_back_to_nobody(app, redis_server):
    change_settings(app, rate_per_day=DAY.per_day)
    turns = Turns()
    redis_server.kill()
    try:
        assert turns.wait(WINDOW, must_stop=lambda: False, before_waiting=lambda: None) == 1
    finally:
        redis_server.start()
    wait_until(lambda: shared_limiter().take(DAY, 10).mails == 10)  # it is asked again after a while
    turns.give_back_unclaimed(1)
    assert sent_today() == 10


def test_turns_that_a_killed_sender_did_not_use_count_for_no_day(app, sink, campaign_id, start_process):
    change_settings(app, rate_per_day=DAY.per_day)
    sink.pause_seconds = 0.01
    enqueue(send_batch, campaign_id, 1)
    worker = start_process(*SENDER, RATE_PER_DAY=str(DAY.per_day))
    wait_until(lambda: len(sink.mails) > 20)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert [replay_dead_journals(current_settings().journal_dir) for _ in range(2)] == [1, 0]
    totals = campaign_totals(campaign_id)
    assert sent_today() == totals.sent + totals.uncertain < WINDOW


def test_a_killed_sender_gives_back_no_more_than_it_took(app, redis_server):
    """Its limit had counted two of the five rows that it leaves behind."""
    change_settings(app, rate_per_day=DAY.per_day)
    make_users(5)
    assert shared_limiter().take(DAY, 10).mails == 10
    die_with_all_in_hand(launch_and_freeze(), turns=2)
    assert replay_dead_journals(current_settings().journal_dir) == 1
    assert sent_today() == 8


def test_who_a_killed_sender_had_in_hand_waits_again_though_redis_is_away(app, redis_server):
    change_settings(app, rate_per_day=DAY.per_day)
    make_users(5)
    campaign_id = launch_and_freeze()
    die_with_all_in_hand(campaign_id, turns=5)
    redis_server.kill()
    try:
        assert replay_dead_journals(current_settings().journal_dir) == 1
    finally:
        redis_server.start()
    assert campaign_totals(campaign_id).waiting == 5


def die_with_all_in_hand(campaign_id: int, *, turns: int) -> None:
    lease = ledger.take_lease(campaign_id, 1, worker="dead", lease_for=timedelta(seconds=30))
    ledger.settle_and_claim(lease, (), size=WINDOW, lease_for=timedelta(seconds=30))
    journal = Journal(current_settings().journal_dir, lease)
    journal.__enter__()
    journal.note_turns(turns)
    os.close(journal._file)


def test_a_server_that_refuses_the_sender_uses_up_no_day(app, sink):
    change_settings(app, rate_per_day=DAY.per_day)
    make_users(30)
    sink.refuse_sender = "550 5.7.1 Sender not allowed"
    send_round(launch_and_freeze())
    assert sent_today() == 0
