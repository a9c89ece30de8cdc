"""Limits that all workers share: never more than allowed, nobody lost, and nobody held up by another domain's limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import rounds, sending, states, stopping
from campaigns.delivery.models import Delivery
from campaigns.delivery.queries import Totals, campaign_totals, ledger_totals
from campaigns.delivery.rate_limit import DAY_LIMIT, RATE_LIMIT, RateLimiter, shared_limiter
from campaigns.delivery.rates import Rates, mails_by_day_slot
from campaigns.delivery.reconcile import reconcile, wake_due
from campaigns.delivery.throttles import RECOVERY_SECONDS, Throttle
from campaigns.extensions import db
from campaigns.mail.day_count import DAY_SLOT_SECONDS, day_key
from campaigns.mail.mail_servers import health
from campaigns.reports.reasons import REASON_WORDS
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.pages import submit
from tests.parts import wait_until
from tests.people import make_user, make_users
from tests.stopwatch import Stopwatch


def change_settings(app: Flask, **values: Any) -> None:
    app.extensions["carillon.settings"] = replace(app.extensions["carillon.settings"], **values)


def rows_at(domain: str) -> list[Delivery]:
    db.session.expire_all()
    query = select(Delivery).where(Delivery.address.endswith(f"@{domain}")).order_by(Delivery.position)
    return list(db.session.scalars(query))


def make_people(domain: str, count: int) -> None:
    for number in range(count):
        make_user(f"p{number}@{domain}")


def another_worker(redis_server, prefix: str = "") -> RateLimiter:
    """Another process' view of the same limits."""
    return RateLimiter(redis_server.client(), prefix, dict)


def totals_now(campaign_id: int) -> Totals:
    db.session.rollback()
    return campaign_totals(campaign_id)


def run_in_thread(app: Flask, campaign_id: int) -> threading.Thread:
    def send() -> None:
        with app.app_context():
            sending.send_batch(campaign_id, 1)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.both_databases
def test_no_more_go_in_a_second_than_allowed_and_everybody_gets_one(app, sink):
    change_settings(app, rate_per_second=20)
    make_users(45)
    campaign_id = launch_and_freeze()
    started = time.monotonic()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert time.monotonic() - started > (45 - 20 * 0.2) / 20 * 0.95
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 45
    assert campaign_totals(campaign_id) == ledger_totals(campaign_id)


def test_workers_share_one_bucket(redis_server, app):
    rates, granted = Rates(per_second=400), []
    started = time.monotonic()

    def work() -> None:
        worker = another_worker(redis_server)
        while sum(granted) < 600:  # what one and a half seconds allow
            granted.append(worker.take(rates, 100).mails)
            time.sleep(0.005)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert 600 <= sum(granted) <= 400 * (time.monotonic() - started) + 400 / 5 + 1
    assert all(count == 0 or count >= 20 for count in granted), "what is asked for often comes in chunks"


def test_a_change_of_the_limits_applies_at_the_next_window(app, sink):
    change_settings(app, rate_per_second=5)
    make_users(60)
    campaign_id = launch_and_freeze()
    started = time.monotonic()
    thread = run_in_thread(app, campaign_id)
    wait_until(lambda: len(sink.mails) > 3, what="some to be sent at the limit")
    assert len(sink.mails) <= 5 * (time.monotonic() - started) + 5 / 5 + 1
    change_settings(app, rate_per_second=0)
    mails_left, changed = 60 - len(sink.mails), time.monotonic()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert len(sink.mails) == 60
    assert time.monotonic() - changed < mails_left / 5, "the rest went at the old limit"


@pytest.mark.parametrize("ending", ["pause", "sigterm"])
def test_who_waits_for_a_limit_stops_within_two_seconds(app, sink, ending):
    """As many mails as two seconds allow: a machine that stands still for a while makes none of them."""
    change_settings(app, rate_per_second=1)
    make_users(30)
    campaign_id = launch_and_freeze()
    thread = run_in_thread(app, campaign_id)
    wait_until(lambda: sink.mails, what="the first mail")
    try:
        assert states.pause(campaign_id) if ending == "pause" else stopping.begin() is None
        before = len(sink.mails)
        thread.join(timeout=25)
    finally:
        stopping.end()
    assert not thread.is_alive()
    assert len(sink.mails) - before <= 2
    totals = campaign_totals(campaign_id)
    assert (totals.sending, totals.uncertain, totals.balances) == (0, 0, True)
    assert totals.sent == len(sink.mails) < 10
    assert totals.waiting == 30 - totals.sent


def test_what_has_an_outcome_is_written_down_while_waiting(app, sink):
    change_settings(app, rate_per_second=1)
    make_users(10)
    campaign_id = launch_and_freeze()
    thread = run_in_thread(app, campaign_id)
    wait_until(lambda: totals_now(campaign_id).sent, what="an outcome to be written down")
    totals, is_waiting = totals_now(campaign_id), thread.is_alive()
    assert 1 <= totals.sent <= len(sink.mails)
    assert is_waiting
    assert totals.sent < 10
    states.cancel(campaign_id)
    thread.join(timeout=60)


@pytest.mark.both_databases
def test_a_domain_without_a_turn_is_put_off_and_others_go_on(app, sink):
    change_settings(app, rate_per_domain=(("slow.test", 2.0),))
    make_people("slow.test", 10)
    make_people("Fast.test", 30)
    campaign_id = launch_and_freeze()
    started, stopwatch = time.monotonic(), Stopwatch()
    assert send_round(campaign_id) is rounds.Progress.LATER
    assert stopwatch.seconds < 5, "nobody waits for a slow domain"
    turns = 1 + 2.0 * (time.monotonic() - started + 1)
    assert sum(mail.recipient.lower().endswith("@fast.test") for mail in sink.mails) == 30
    slow = rows_at("slow.test")
    put_off = [row for row in slow if row.state == "deferred"]
    assert 10 - turns <= len(put_off) <= 9
    assert {(row.reason, row.attempts, row.reply) for row in put_off} == {("rate_limited", 0, None)}
    totals = campaign_totals(campaign_id)
    assert (totals.deferred, totals.balances) == (len(put_off), True)
    assert totals == ledger_totals(campaign_id)


def test_those_put_off_stand_in_line_at_the_rate_of_their_domain(app, sink):
    """Twenty seconds apart: a moment in which the machine stands still between two of them is small beside that."""
    change_settings(app, rate_per_domain=(("slow.test", 0.05),), batch_size=5)
    make_people("slow.test", 20)
    send_round(launch_and_freeze())
    times = [row.next_attempt_at for row in rows_at("slow.test") if row.state == "deferred"]
    assert times == sorted(times)
    apart = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert all(10 < seconds < 30 for seconds in apart), apart


def test_nobody_is_put_off_for_so_long_that_a_raised_limit_would_come_too_late(app, sink):
    """At this rate the last one's turn would be in eight hours; in ten minutes a slowed domain is back at its pace."""
    change_settings(app, rate_per_domain=(("slow.test", 0.01),))
    make_people("slow.test", 300)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    latest = max(row.next_attempt_at for row in rows_at("slow.test") if row.state == "deferred")
    assert latest <= utcnow() + timedelta(minutes=10)
    change_settings(app, rate_per_domain=())
    with freeze(utcnow() + timedelta(minutes=11)):
        wake_due(campaign_id)
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 300


def test_who_was_put_off_gets_the_mail_when_the_turn_comes(app, sink):
    change_settings(app, rate_per_domain=(("slow.test", 10.0),))
    make_people("slow.test", 25)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    deadline = time.monotonic() + 90
    while campaign_totals(campaign_id).state == "sending" and time.monotonic() < deadline:
        time.sleep(0.5)
        reconcile(broker_is_empty=True)
        send_round(campaign_id)
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 25
    assert campaign_totals(campaign_id).sent == 25
    assert {row.attempts for row in rows_at("slow.test")} == {1}


def test_rounds_follow_each_other_while_people_wait_for_their_domains_turn(app, sink):
    change_settings(app, rate_per_domain=(("slow.test", 10.0),))
    make_people("slow.test", 35)
    campaign_id = launch_and_freeze()
    started = time.monotonic()
    planned = rounds.plan_round(campaign_id)
    while planned and time.monotonic() < started + 90:
        sending.send_batch(campaign_id, 1)
        rounds.finish(campaign_id)
        assert rounds.seconds_to_next_turn(campaign_id, planned.number - 1) is None, "only the last leads on"
        pause_seconds = rounds.seconds_to_next_turn(campaign_id, planned.number)
        time.sleep(pause_seconds or 0)
        wake_due(campaign_id)
        planned = rounds.plan_round(campaign_id)
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 35
    assert campaign_totals(campaign_id).state == "sent"
    assert time.monotonic() - started > 2.3


def test_a_domain_that_asks_to_slow_down_is_slowed_and_others_are_not(app, sink):
    make_people("calm.test", 20)
    make_people("busy.test", 20)
    sink.refusals["p5@calm.test"] = "450 4.7.28 Too many mails in a short time"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert sum(mail.recipient.endswith("@busy.test") for mail in sink.mails) == 20
    calm = rows_at("calm.test")
    assert [(row.state, row.reason) for row in calm if row.address == "p5@calm.test"] == [("deferred", "throttled")]
    assert sum(row.reason == "rate_limited" for row in calm) >= 12
    assert 0 < shared_limiter().rate_of(Rates(), "calm.test") < 20
    assert shared_limiter().rate_of(Rates(), "busy.test") == 0


def test_a_domain_that_hangs_up_whenever_it_asks_says_nothing_of_the_server(app, sink):
    """So few go at once that one run meets it four times."""
    change_settings(app, bulk_connections=1, rate_per_second=4, rate_per_domain=(("tired.test", 1000.0),))
    make_people("tired.test", 4)
    sink.refusals = {f"p{number}@tired.test": "421 4.7.0 Too many messages, slow down" for number in range(4)}
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert [(row.state, row.reason) for row in rows_at("tired.test")] == [("deferred", "throttled")] * 4
    assert db.session.get_one(Campaign, campaign_id).trouble is None
    assert health.is_well(f"127.0.0.1:{sink.port}")


def test_other_workers_hear_of_a_slowed_domain(app, redis_server):
    rates = Rates(per_domain={"slow.test": 40.0})
    shared_limiter().slow_down(rates, "slow.test")
    other = another_worker(redis_server)
    other.take_for_domains(rates, {"slow.test": 1, "other.test": 1})
    assert 20 <= other.rate_of(rates, "slow.test") < 21
    assert other.rate_of(rates, "other.test") == 0


def test_a_slowed_domain_is_halved_once_at_a_time_and_grows_back_steadily():
    throttle = Throttle.first(80, now=1000)
    assert throttle.rate_at(1000) == 40
    assert throttle.halved(1002) is throttle
    assert throttle.rate_at(1000 + RECOVERY_SECONDS / 4) == pytest.approx(60)
    assert throttle.is_over(1000 + RECOVERY_SECONDS / 2)
    again = throttle.halved(1000 + RECOVERY_SECONDS / 4)
    assert again.rate_at(again.at) == pytest.approx(30)
    assert again.rate_at(again.at + 1) - again.rate_at(again.at) == pytest.approx(80 / RECOVERY_SECONDS)
    assert Throttle.from_text(again.to_text()) == again
    for second in range(0, 100, 10):
        again = again.halved(again.at + second)
    assert again.lowered > 0


@pytest.mark.both_databases
def test_a_reached_day_limit_holds_the_campaign_which_goes_on_by_itself(app, sink, owner_client):
    change_settings(app, rate_per_day=30, batch_size=10)
    make_users(49)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.MORE
    assert len(sink.mails) == 30
    campaign = db.session.get(Campaign, campaign_id)
    assert (campaign.state, campaign.trouble) == ("sending", DAY_LIMIT)
    assert campaign.next_round_at > utcnow() + timedelta(minutes=5)
    assert rounds.plan_round(campaign_id) is None
    page = owner_client.get(f"/campaigns/{campaign_id}/progress").text
    assert "24시간 동안 보낼 수 있는 메일 수에 도달했습니다." in page
    assert "발송이 저절로 이어집니다." in page
    assert "메일 서버가 우리 메일을 받지 않습니다" not in page
    assert "캠페인이 발송 한도를 기다리고 있습니다" in owner_client.get("/").text
    change_settings(app, rate_per_day=1000)
    with freeze(utcnow() + timedelta(minutes=11)):
        while send_round(campaign_id) is rounds.Progress.MORE:
            pass
    db.session.expire_all()
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.uncertain) == ("sent", 50, 0)
    assert db.session.get(Campaign, campaign_id).trouble is None
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 50


def test_turns_that_were_not_used_count_for_no_day(app, sink):
    change_settings(app, rate_per_day=100)
    make_users(3)
    for _ in range(4):
        send_round(launch_and_freeze())
    assert len(sink.mails) == 12
    assert shared_limiter().take(Rates(per_day=100), 1000).mails == 88


def test_a_flushed_redis_learns_from_the_database_what_went_out_today(app, sink, redis_server):
    change_settings(app, rate_per_day=100)
    make_users(30)
    send_round(launch_and_freeze())
    redis_server.flush()
    assert sum(mails_by_day_slot().values()) == 30
    turn = shared_limiter().take(Rates(per_day=100), 1000)
    assert turn.mails == 70


def test_turns_given_back_to_a_flushed_redis_do_not_pass_for_the_days_count(app, redis_server):
    rates, slot = Rates(per_day=100), int(time.time()) // DAY_SLOT_SECONDS
    worker = RateLimiter(redis_server.client(), "", lambda: {slot - 1: 30})
    assert worker.take(rates, 10).mails == 10
    redis_server.flush()
    worker.give_back(rates, 10)
    assert worker.take(rates, 1000).mails == 70


def test_turns_given_back_are_taken_from_when_they_were_counted(app, redis_server):
    """Less than nothing in the slot of now would let more go tomorrow, when that of before is out of the count."""
    rates, slot = Rates(per_day=100), int(time.time()) // DAY_SLOT_SECONDS
    client = redis_server.client()
    worker = RateLimiter(client, "", lambda: {slot - 1: 60})
    assert worker.take(rates, 1).mails == 1
    worker.give_back(rates, 50)
    assert sorted(map(int, client.hvals(day_key("")))) == [1, 10]


def send_single_mails(app: Flask, run_queued: Callable[..., list[str]], *addresses: str) -> None:
    for address in addresses:
        submit(app.test_client(), "/password/forgot", {"email": address})
    run_queued("mail.now")


def test_single_mails_count_toward_the_day_and_do_not_wait_for_it(app, sink, run_queued):
    make_user("ada@example.com", role="owner", password=True)
    make_user("kim@example.com", password=True)
    change_settings(app, rate_per_day=3)
    assert shared_limiter().take(Rates(per_day=3), 1).mails == 1
    send_single_mails(app, run_queued, "ada@example.com")
    assert shared_limiter().take(Rates(per_day=3), 5).mails == 1
    send_single_mails(app, run_queued, "kim@example.com")
    assert len(sink.mails) == 2, "a day that is used up holds no single mail"
    turn = shared_limiter().take(Rates(per_day=3), 1)
    assert (turn.mails, turn.limit) == (0, DAY_LIMIT)


def test_a_flushed_redis_learns_of_single_mails_too(app, sink, run_queued, redis_server):
    make_user("ada@example.com", role="owner", password=True)
    change_settings(app, rate_per_day=10)
    send_single_mails(app, run_queued, "ada@example.com")
    redis_server.flush()
    send_single_mails(app, run_queued, "ada@example.com")
    assert len(sink.mails) == 2
    assert shared_limiter().take(Rates(per_day=10), 100).mails == 8


def test_without_redis_single_mails_go_on(app, sink, run_queued, redis_server):
    make_user("ada@example.com", role="owner", password=True)
    change_settings(app, rate_per_day=10, redis_url="unix:///nowhere/redis.sock")
    send_single_mails(app, run_queued, "ada@example.com")
    assert len(sink.mails) == 1


def test_what_went_out_a_day_ago_counts_no_more(redis_server, app):
    wait_until(lambda: time.time() % DAY_SLOT_SECONDS < DAY_SLOT_SECONDS - 10, what="a slot that is not about to end")
    slot = int(time.time()) // DAY_SLOT_SECONDS
    worker = RateLimiter(redis_server.client(), "", lambda: {slot - 145: 500, slot - 144: 60, slot - 1: 30})
    assert worker.take(Rates(per_day=100), 1000).mails == 10
    turn = worker.take(Rates(per_day=100), 1000)
    assert (turn.mails, turn.limit) == (0, DAY_LIMIT)
    assert 0 < turn.wait_seconds <= DAY_SLOT_SECONDS


def test_without_redis_each_worker_goes_on_at_a_tenth_and_never_without_a_limit(app, sink):
    change_settings(app, rate_per_second=100, redis_url="unix:///nowhere/redis.sock")
    make_users(25)
    campaign_id = launch_and_freeze()
    started = time.monotonic()
    send_round(campaign_id)
    assert time.monotonic() - started > 1.8
    assert len(sink.mails) == 25


def test_without_redis_a_small_day_limit_puts_the_campaign_off(app, sink):
    change_settings(app, rate_per_day=100, redis_url="unix:///nowhere/redis.sock")
    make_users(25)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert len(sink.mails) == 1
    assert db.session.get(Campaign, campaign_id).trouble == RATE_LIMIT
    assert campaign_totals(campaign_id).waiting == 24


def test_without_redis_a_limited_domain_stays_limited(app, sink):
    change_settings(app, rate_per_domain=(("slow.test", 10.0),), redis_url="unix:///nowhere/redis.sock")
    make_people("slow.test", 10)
    make_people("fast.test", 10)
    send_round(launch_and_freeze())
    assert sum(mail.recipient.endswith("@slow.test") for mail in sink.mails) == 1
    assert sum(mail.recipient.endswith("@fast.test") for mail in sink.mails) == 10


def test_every_reason_has_words(app):
    assert {DAY_LIMIT, RATE_LIMIT, "rate_limited"} <= set(REASON_WORDS)
