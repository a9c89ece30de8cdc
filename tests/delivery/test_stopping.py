"""Pause, resume and cancel: open dialogues finish, the rest waits or is cancelled, and nobody is lost."""

from __future__ import annotations

import threading

import pytest

from campaigns.compose.models import Campaign
from campaigns.config import current_settings
from campaigns.delivery import freeze, launch, rounds, sending, states
from campaigns.delivery.brake import resume_past_brake
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.reconcile import cancel_rest, reconcile
from campaigns.errors import Conflict, UserError
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign, send_round
from tests.parts import wait_until
from tests.people import make_users

pytestmark = pytest.mark.both_databases


def test_a_pause_acts_within_two_seconds_and_resume_sends_to_the_rest(app, sink):
    make_users(200)
    campaign_id = launch_and_freeze()
    sink.pause_seconds = 0.2

    def send() -> None:
        with app.app_context():
            sending.send_batch(campaign_id, 1)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: len(sink.mails) > 10, what="some to be sent")
    assert states.pause(campaign_id)
    before = len(sink.mails)
    sender.join()
    # As many mails as two seconds allow: a machine that stands still for a while makes none of them.
    assert len(sink.mails) - before <= current_settings().bulk_connections * 2.0 / sink.pause_seconds
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sending, totals.balances) == ("paused", 0, True)
    assert 0 < totals.sent < 200
    assert totals.sent == len(sink.mails)
    sink.pause_seconds = 0
    assert states.resume(campaign_id)
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert sorted({mail.recipient for mail in sink.mails}) == sorted(mail.recipient for mail in sink.mails)
    assert len(sink.mails) == 200


def test_nothing_is_sent_while_paused(app, sink):
    make_users(3)
    campaign_id = launch_and_freeze()
    states.pause(campaign_id)
    assert rounds.plan_round(campaign_id) is None
    assert sending.send_batch(campaign_id, 1).ended == "nothing_to_do"
    assert sink.mails == []


def test_a_cancel_marks_everybody_who_waits_and_closes_the_campaign(app, sink):
    make_users(3)
    campaign_id = launch_and_freeze()
    assert states.cancel(campaign_id)
    assert cancel_rest(campaign_id) is rounds.Progress.DONE
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.cancelled, totals.balances) == ("cancelled", 3, True)
    assert totals == ledger_totals(campaign_id)
    assert not states.resume(campaign_id)


def test_a_cancel_whose_task_was_lost_is_finished_by_the_sweep(app):
    make_users(3)
    campaign_id = launch_and_freeze()
    states.cancel(campaign_id)
    reconcile(broker_is_empty=True)
    assert campaign_totals(campaign_id).cancelled == 3


def test_a_double_click_launches_once(app):
    campaign_id = make_campaign()
    first = launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=60)
    second = launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=60)
    assert (first.repeated, second.repeated) == (False, True)
    with pytest.raises(Conflict):
        launch.launch_now(campaign_id, by=None, launch_key="another key")


def test_a_launch_can_be_taken_back_until_the_freeze_begins(app):
    campaign_id = make_campaign()
    launch.launch_now(campaign_id, by=None, launch_key="key", hold_seconds=60)
    assert not states.begin_preparing(campaign_id), "the hold is not over"
    assert states.take_back(campaign_id)
    assert states.state_of(campaign_id) == "draft"
    launch.launch_now(campaign_id, by=None, launch_key="next key", hold_seconds=0)
    assert states.begin_preparing(campaign_id)
    assert not states.take_back(campaign_id)
    assert freeze.freeze_audience(campaign_id)


def test_an_unknown_field_is_refused_at_launch(app):
    campaign_id = make_campaign(body="안녕하세요 {{ nmae }}님")
    with pytest.raises(UserError):
        launch.launch_now(campaign_id, by=None, launch_key="key")
    db.session.rollback()
    assert states.state_of(campaign_id) == "draft"


def test_the_brake_pauses_a_campaign_that_is_refused_too_often(app, sink, settings):
    people = make_users(settings.brake_after + 300)
    for person in people[::5]:
        sink.refusals[person.email] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    campaign = db.session.get(Campaign, campaign_id)
    assert (campaign.state, campaign.pause_reason) == ("paused", "too_many_failures: 40 / 200")
    sink.refusals.clear()
    assert resume_past_brake(campaign_id)
    assert send_round(campaign_id) is rounds.Progress.DONE
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.failed, totals.balances) == ("sent", 40, True)


def test_the_brake_counts_what_was_refused_before_there_was_enough_to_judge_by(app, sink):
    """Forty of the first hundred are too few attempts; forty of two hundred are not, though the last all arrived."""
    for person in make_users(300)[:40]:
        sink.refusals[person.email] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    campaign = db.session.get_one(Campaign, campaign_id)
    assert (campaign.state, campaign.pause_reason) == ("paused", "too_many_failures: 40 / 200")
    assert len(sink.mails) == 160
