"""Sending a campaign over a real SMTP server: each recipient once, each outcome in the ledger, the equation true."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select

from campaigns.accounts.models import User
from campaigns.audience.models import Suppression
from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import ledger, rounds, sending
from campaigns.delivery.claims import Settlement
from campaigns.delivery.journal import Journal
from campaigns.delivery.leases import KeptLease
from campaigns.delivery.models import Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.reconcile import reconcile
from campaigns.delivery.tally import Tally
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, make_campaign, send_round
from tests.people import make_user, make_users

pytestmark = pytest.mark.both_databases


def row_of(address: str) -> Delivery:
    db.session.expire_all()
    return db.session.execute(select(Delivery).where(Delivery.address == address)).scalar_one()


def test_every_recipient_gets_one_mail_and_the_totals_are_recorded(app, sink):
    make_users(230)
    campaign_id = launch_and_freeze()
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert sorted(mail.recipient for mail in sink.mails) == sorted(f"person{n}@example.com" for n in range(1, 231))
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.balances) == ("sent", 230, True)
    assert totals == ledger_totals(campaign_id)
    assert db.session.get(Campaign, campaign_id).totals["sent"] == 230


def test_the_mail_is_the_recipients_own(app, sink):
    make_user("kim@example.com", name="김하늘")
    launch_and_freeze_and_send()
    (mail,) = sink.mails
    message = mail.message
    assert message["Subject"] == "김하늘님, 11월 소식"
    assert message["To"] == "kim@example.com"
    assert "김하늘님" in mail.text
    assert "김하늘님" in mail.html
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Unsubscribe"].startswith("<http://carillon.example.test/p/u/")
    assert message["List-Unsubscribe"].strip("<>") in mail.text


def launch_and_freeze_and_send() -> int:
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    return campaign_id


def test_running_a_batch_again_sends_to_nobody_twice(app, sink):
    make_users(5)
    campaign_id = launch_and_freeze_and_send()
    for _ in range(3):
        assert sending.send_batch(campaign_id, 1).ended == "nothing_to_do"
    assert len(sink.mails) == 5


def test_a_message_that_outlived_its_campaign_does_nothing(app, sink):
    """The broker keeps what a database that was put back from a backup does not know, or knows as a draft."""
    draft_id = make_campaign()
    assert [sending.send_batch(each, 1).ended for each in (draft_id, draft_id + 1)] == ["nothing_to_do"] * 2


def test_a_run_that_is_over_leaves_nothing_to_the_search_for_garbage(app, sink):
    """It is rare, and each run has a window of people in memory."""
    make_users(5)
    campaign_id = launch_and_freeze()
    with no_search_for_garbage():
        sending.send_batch(campaign_id, 1)
        left = [each for each in gc.get_objects() if isinstance(each, KeptLease | Journal | Tally)]
    assert (len(sink.mails), left) == (5, [])


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_permanent_refusal_fails_and_suppresses_the_address(app, sink):
    make_users(2)
    sink.refusals["person1@example.com"] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze_and_send()
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.failed, totals.balances) == ("sent", 1, 1, True)
    row = row_of("person1@example.com")
    assert (row.reason, row.reply) == ("no_such_address", "550 5.1.1 No such user")
    assert db.session.get(Suppression, "person1@example.com").reason == "hard_bounce"


def test_a_temporary_refusal_waits_and_is_tried_again(app, sink):
    make_users(2)
    sink.refusals["person1@example.com"] = "451 4.7.1 Greylisted, come back later"
    campaign_id = launch_and_freeze_and_send()
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.deferred, totals.balances) == ("sending", 1, 1, True)
    sink.refusals.clear()
    with freeze(utcnow() + timedelta(minutes=2)):
        assert reconcile(broker_is_empty=True).rounds == (campaign_id,)
        assert send_round(campaign_id) is rounds.Progress.DONE
    assert campaign_totals(campaign_id).sent == 2
    assert row_of("person1@example.com").attempts == 2


def test_a_temporary_refusal_fails_when_its_time_is_over(app, sink):
    make_users(1)
    sink.refusals["person1@example.com"] = "452 4.2.2 Mailbox full"
    campaign_id = launch_and_freeze_and_send()
    moment = utcnow()
    for hours in (1, 2, 4, 8, 16, 23.5):
        with freeze(moment + timedelta(hours=hours)):
            reconcile(broker_is_empty=True)
            send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.failed, totals.balances) == ("sent", 1, True)
    assert row_of("person1@example.com").reason == "mailbox_full"


def test_a_refused_sender_holds_the_round_and_burns_nobody(app, sink):
    make_users(3)
    sink.refuse_sender = "550 5.7.1 Sender not allowed"
    campaign_id = launch_and_freeze_and_send()
    campaign = db.session.get(Campaign, campaign_id)
    assert campaign.trouble == "sender_refused"
    assert "Sender not allowed" in campaign.trouble_reply
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.waiting, totals.balances) == ("sending", 3, True)
    assert row_of("person1@example.com").attempts == 0
    sink.refuse_sender = ""
    with freeze(utcnow() + timedelta(minutes=2)):
        assert reconcile(broker_is_empty=True).rounds == (campaign_id,)
        send_round(campaign_id)
    db.session.expire_all()
    assert campaign_totals(campaign_id).sent == 3
    assert db.session.get(Campaign, campaign_id).trouble is None


def test_a_mail_server_that_is_away_holds_the_round(app, sink):
    make_users(3)
    sink.stop()
    campaign_id = launch_and_freeze_and_send()
    assert db.session.get(Campaign, campaign_id).trouble == "relay_unreachable"
    assert rounds.plan_round(campaign_id) is None
    sink.start()
    with freeze(utcnow() + timedelta(minutes=2)):
        send_round(campaign_id)
    assert campaign_totals(campaign_id).sent == 3


def test_who_unsubscribes_or_is_deleted_after_the_freeze_is_skipped(app, sink):
    make_users(3)
    campaign_id = launch_and_freeze()
    first, second, _third = db.session.scalars(select(User).order_by(User.id))
    first.unsubscribed_at = utcnow()
    db.session.delete(second)
    db.session.commit()
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.skipped, totals.balances) == (1, 2, True)
    assert row_of("person1@example.com").reason == "unsubscribed"
    assert row_of("person2@example.com").reason == "deleted"


def test_a_lost_worker_leaves_its_window_uncertain_and_the_rest_is_sent(app, sink):
    make_users(10)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="dead", lease_for=timedelta(seconds=30))
    assert len(ledger.settle_and_claim(lease, (), size=4, lease_for=timedelta(seconds=30))) == 4
    assert sending.send_batch(campaign_id, 1).ended == "nothing_to_do"
    with freeze(utcnow() + timedelta(minutes=1)):
        assert reconcile(broker_is_empty=True).rounds == (campaign_id,)
        assert send_round(campaign_id) is rounds.Progress.DONE
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.uncertain, totals.balances) == (6, 4, True)
    assert len(sink.mails) == 6


def test_a_late_worker_tells_the_truth_about_its_own_rows_only(app, sink):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="slow", lease_for=timedelta(seconds=30))
    claimed = ledger.settle_and_claim(lease, (), size=2, lease_for=timedelta(seconds=30))
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
        send_round(campaign_id)
    late = [Settlement(recipient.position, DeliveryState.SENT) for recipient in claimed]
    others = [Settlement(position, DeliveryState.FAILED) for position in (3, 4)]
    assert ledger.settle(lease, [*late, *others]) == 2
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.uncertain, totals.failed, totals.balances) == (4, 0, 0, True)
    with pytest.raises(ledger.LeaseLost):
        ledger.settle_and_claim(lease, (), size=2, lease_for=timedelta(seconds=30))


def test_a_late_worker_lets_nobody_wait_again_once_the_totals_are_recorded(app, sink):
    make_users(3)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="slow", lease_for=timedelta(seconds=30))
    ledger.settle_and_claim(lease, (), size=3, lease_for=timedelta(seconds=30))
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
    assert campaign_totals(campaign_id).state == "sent"
    in_an_hour = utcnow() + timedelta(hours=1)
    late = [
        Settlement(1, DeliveryState.WAITING, counts_as_attempt=False),
        Settlement(2, DeliveryState.DEFERRED, "mailbox_full", "452 4.2.2 full", next_attempt_at=in_an_hour),
        Settlement(3, DeliveryState.SENT),
    ]
    assert ledger.settle(lease, late) == 3
    assert (row_of("person1@example.com").state, row_of("person1@example.com").reason) == (
        "uncertain", "not_handed_over",
    )  # fmt: skip
    assert (row_of("person2@example.com").state, row_of("person2@example.com").reason) == ("failed", "mailbox_full")
    assert row_of("person3@example.com").state == "sent"
    assert campaign_totals(campaign_id) == ledger_totals(campaign_id)
