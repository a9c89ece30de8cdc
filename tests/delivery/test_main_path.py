"""The whole way with real Celery processes: launch, hold, freeze, chord, totals; and what a crash leaves open."""

from __future__ import annotations

import pytest

from campaigns.delivery.queries import campaign_totals, ledger_totals
from tests.delivery.campaigns import has_ended, launch_for_workers
from tests.parts import end_process_group, wait_until
from tests.people import make_users

pytestmark = pytest.mark.both_databases

WORKER = ("celery_worker", "worker", "--loglevel=warning")
THREADS = 4
CONNECTIONS = THREADS * 4
BEAT = ("celery_worker", "beat", "--loglevel=warning")


def test_a_worker_of_every_lane_sends_the_campaign_and_records_totals(app, sink, start_process):
    make_users(1_200)
    start_process(*WORKER, "-P", "threads", "-c", str(THREADS))
    campaign_id = launch_for_workers()
    wait_until(lambda: has_ended(campaign_id), what="the campaign to end")
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.candidates, totals.sent, totals.balances) == ("sent", 1_200, 1_200, True)
    assert totals == ledger_totals(campaign_id)
    assert len({mail.recipient for mail in sink.mails}) == len(sink.mails) == 1_200


def test_a_killed_worker_and_a_flushed_broker_are_made_good_by_beat(app, sink, start_process, environ, redis_server):
    make_users(1_500)
    quick = {"LEASE_SECONDS": "5", "RECONCILE_SECONDS": "2"}
    worker = start_process(*WORKER, "-P", "threads", "-c", str(THREADS), **quick)
    campaign_id = launch_for_workers()
    wait_until(lambda: len(sink.mails) > 100, what="the first mails")
    end_process_group(worker, 9)
    redis_server.flush()
    start_process(*WORKER, "-P", "threads", "-c", str(THREADS), **quick)
    start_process(*BEAT, **quick)
    wait_until(lambda: has_ended(campaign_id), what="the campaign to end")
    totals = ledger_totals(campaign_id)
    assert totals.balances
    assert totals.sent + totals.uncertain == 1_500
    assert totals.uncertain <= CONNECTIONS, "more than one uncertain for each open connection"
    received = [mail.recipient for mail in sink.mails]
    assert len(received) == len(set(received)), "somebody got the mail twice"
    assert totals.sent <= len(received) <= totals.sent + totals.uncertain
