"""What is changed while a campaign is sent acts at its next window: the rate, the servers, the brake."""

from __future__ import annotations

import time

import pytest

from campaigns.celery import enqueue
from campaigns.delivery import sending
from campaigns.delivery.queries import campaign_totals
from campaigns.delivery.tasks import publish_round
from campaigns.mail_server_urls import MailServerUrl
from campaigns.stored_settings import LOOK_SECONDS, stored_servers
from tests.delivery.campaigns import launch_and_freeze, send_in_thread, send_round
from tests.parts import wait_until
from tests.people import make_users
from tests.settings.storing import store, store_and_look, store_servers
from tests.smtp_sink import Sink


def servers_of(*sinks: Sink) -> list[dict]:
    return stored_servers(tuple(MailServerUrl("127.0.0.1", sink.port) for sink in sinks))


@pytest.fixture
def other() -> Sink:
    server = Sink()
    server.start()
    yield server
    server.stop()


@pytest.mark.both_databases
def test_a_new_rate_acts_at_the_next_window(app, sink):
    """A mail every two seconds would take more than three minutes; without a limit the rest goes at once."""
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    store_and_look("rates", rate_per_second=0.5)
    make_users(100)
    campaign_id = launch_and_freeze()
    begun = time.monotonic()
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: sink.mails)
    assert len(sink.mails) < 50
    store("rates", rate_per_second=0)
    thread.join(timeout=90)
    assert not thread.is_alive()
    assert len(sink.mails) == 100, "the batch went on without the limit"
    assert time.monotonic() - begun < 90, "the limit of before takes 200 seconds"
    assert campaign_totals(campaign_id).waiting == 0


def test_another_server_takes_the_rest(app, sink, other):
    """The first takes a window slowly; then only the other one is named, and gets all that follows."""
    sink.pause_seconds = 0.02
    store("mail", mail_servers=servers_of(sink))
    store_and_look("rates", rate_per_second=0)
    make_users(12_000)  # the first batch, a twentieth of them, is more than a window
    campaign_id = launch_and_freeze()
    thread = send_in_thread(app, campaign_id)
    wait_until(lambda: sink.mails)
    store("mail", mail_servers=servers_of(other))
    thread.join(timeout=90)
    assert not thread.is_alive()
    assert len(sink.mails) == sending.WINDOW_ROWS, "the window that was open is finished where it began"
    assert len(other.mails) == 600 - sending.WINDOW_ROWS
    assert {mail.recipient for mail in sink.mails} & {mail.recipient for mail in other.mails} == set()
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.waiting, totals.uncertain) == (600, 11_400, 0)


def test_a_batch_under_way_survives_settings_that_cannot_be_read(app, sink):
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    store("rates", rate_per_second="nonsense")
    time.sleep(LOOK_SECONDS)  # so that the batch is sure to look
    make_users(20)
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    assert len(sink.mails) == 20


def test_real_workers_follow_too(app, sink, start_process):
    """A worker process that runs already takes a limit over, and its end."""
    store_servers(MailServerUrl("127.0.0.1", sink.port))
    store_and_look("rates", rate_per_second=2, batch_size=500)
    make_users(400)
    campaign_id = launch_and_freeze()
    start_process("celery_worker", "worker", "-P", "threads", "-c", "2", "--loglevel", "warning")
    enqueue(publish_round, campaign_id)
    wait_until(lambda: len(sink.mails) >= 2)
    assert len(sink.mails) < 100
    store("rates", rate_per_second=0)
    wait_until(lambda: len(sink.mails) == 400)
