"""After the end: a person settles the uncertain, and some are sent to after all, each once, the sum always true."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from campaigns.clock import freeze, utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery import ledger, reopening, rounds, sending, states
from campaigns.delivery.claims import Settlement
from campaigns.delivery.models import Batch, Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.reconcile import cancel_rest, reconcile
from campaigns.delivery.reopening import Rest
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.people import make_users

pytestmark = pytest.mark.both_databases
LEASE = timedelta(seconds=30)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BATCH_SIZE": "5"}


def end_with_uncertain(people: int, uncertain: int) -> tuple[int, ledger.Lease]:
    """End a campaign in which a worker was lost that had claimed the first `uncertain` people."""
    make_users(people)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="dead", lease_for=LEASE)
    ledger.settle_and_claim(lease, (), size=uncertain, lease_for=LEASE)
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
        send_round(campaign_id)
    assert campaign_totals(campaign_id).state == "sent"
    return campaign_id, lease


def end_by_cancel(people: int) -> int:
    """End a campaign of which one batch was sent and the rest cancelled."""
    make_users(people)
    campaign_id = launch_and_freeze()
    sending.send_batch(campaign_id, 1)
    states.cancel(campaign_id)
    cancel_rest(campaign_id)
    return campaign_id


def row(campaign_id: int, position: int) -> Delivery:
    db.session.rollback()
    return db.session.execute(
        select(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.position == position)
    ).scalar_one()


def campaign(campaign_id: int) -> Campaign:
    db.session.rollback()
    return db.session.get_one(Campaign, campaign_id)


def assert_true_sum(campaign_id: int) -> None:
    db.session.rollback()
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)


def recipients(sink) -> list[str]:
    return sorted(mail.recipient for mail in sink.mails)


def test_who_is_left_stays_uncertain_and_needs_no_more_review(app, sink):
    campaign_id, _lease = end_with_uncertain(6, 3)
    assert reopening.count_people(campaign_id, Rest.UNCERTAIN) == 3
    assert reopening.leave(campaign_id, 2) == 1
    assert reopening.leave(campaign_id, 2) == 0, "a repeat changes nothing"
    assert [person.position for person in reopening.undecided_people(campaign_id, limit=9)] == [1, 3]
    assert reopening.leave(campaign_id) == 2
    assert reopening.count_people(campaign_id, Rest.UNCERTAIN) == 0
    assert (row(campaign_id, 2).state, row(campaign_id, 2).reason) == ("uncertain", "left")
    assert campaign_totals(campaign_id).uncertain == 3
    assert_true_sum(campaign_id)
    assert len(sink.mails) == 3


def test_a_worker_that_comes_back_still_tells_the_truth_about_who_was_left(app, sink):
    campaign_id, lease = end_with_uncertain(6, 3)
    reopening.leave(campaign_id, 1)
    assert ledger.settle(lease, [Settlement(1, DeliveryState.SENT)]) == 1
    assert row(campaign_id, 1).state == "sent"
    assert_true_sum(campaign_id)


def test_one_person_is_sent_to_again_and_the_campaign_ends_anew(app, sink):
    campaign_id, _lease = end_with_uncertain(6, 3)
    first_end = campaign(campaign_id).finished_at
    assert reopening.send_again(campaign_id, 2)
    ended = campaign(campaign_id)
    assert (ended.state, ended.finished_at, ended.totals) == ("sending", None, None)
    assert_true_sum(campaign_id)
    assert not reopening.send_again(campaign_id, 2), "who waits already is not uncertain"
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert recipients(sink) == ["person2@example.com", "person4@example.com", "person5@example.com",
                                "person6@example.com"]  # fmt: skip
    ended = campaign(campaign_id)
    assert ended.state == "sent"
    assert ended.finished_at > first_end - timedelta(minutes=2)
    assert (ended.totals["sent"], ended.totals["uncertain"]) == (4, 2)


def test_nobody_but_the_uncertain_is_sent_to_again(app, sink):
    campaign_id, _lease = end_with_uncertain(6, 3)
    assert not reopening.send_again(campaign_id, 5)
    assert not reopening.send_again(campaign_id, 99)
    assert campaign(campaign_id).state == "sent"
    assert_true_sum(campaign_id)


def test_a_late_answer_about_the_first_attempt_is_not_taken_for_the_second(app, sink):
    campaign_id, lease = end_with_uncertain(6, 3)
    reopening.send_again(campaign_id, 1)
    assert ledger.settle(lease, [Settlement(1, DeliveryState.FAILED, "refused", "550 no")]) == 0
    assert row(campaign_id, 1).state == "waiting"
    send_round(campaign_id)
    assert row(campaign_id, 1).state == "sent"
    assert_true_sum(campaign_id)


def test_the_uncertain_of_a_running_campaign_can_be_sent_to_again_and_a_paused_one_stays_paused(app, sink):
    make_users(8)
    campaign_id = launch_and_freeze()
    lease = ledger.take_lease(campaign_id, 1, worker="dead", lease_for=LEASE)
    ledger.settle_and_claim(lease, (), size=2, lease_for=LEASE)
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
    states.pause(campaign_id)
    assert reopening.send_again(campaign_id, 1)
    assert campaign(campaign_id).state == "paused"
    assert not reopening.reopen(campaign_id, Rest.UNCERTAIN), "all at once is for campaigns that have ended"
    states.resume(campaign_id)
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.uncertain) == ("sent", 7, 1)
    assert_true_sum(campaign_id)


def test_all_uncertain_are_sent_to_again_but_for_those_a_person_has_left(app, sink):
    campaign_id, _lease = end_with_uncertain(6, 4)
    reopening.leave(campaign_id, 1)
    assert reopening.reopen(campaign_id, Rest.UNCERTAIN)
    assert reopening.return_rows(campaign_id, Rest.UNCERTAIN)
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.uncertain) == ("sent", 5, 1)


def test_who_failed_for_a_time_is_tried_again_and_who_failed_for_good_never(app, sink):
    people = make_users(12)
    for person in people[:3]:
        sink.refusals[person.email] = "451 4.7.1 Greylisted, come back later"
    sink.refusals[people[3].email] = "550 5.1.1 No such user"
    sink.refusals[people[11].email] = "452 4.2.2 Mailbox full"
    campaign_id = launch_and_freeze()
    send_round(campaign_id)
    moment = utcnow()
    for hours in (1, 2, 4, 8, 16, 23.5):
        with freeze(moment + timedelta(hours=hours)):
            reconcile(broker_is_empty=True)
            send_round(campaign_id)
    assert (campaign_totals(campaign_id).state, campaign_totals(campaign_id).failed) == ("sent", 5)
    assert reopening.count_people(campaign_id, Rest.FAILED) == 4
    sink.refusals.clear()
    sink.refusals[people[0].email] = "451 4.7.1 Still greylisted"
    with freeze(moment + timedelta(days=3)):
        assert reopening.reopen(campaign_id, Rest.FAILED)
        assert reopening.return_rows(campaign_id, Rest.FAILED)
        assert_true_sum(campaign_id)
        send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.failed) == (10, 1)
    assert totals.deferred == 1, "the hours for trying again count from the reopening"
    assert_true_sum(campaign_id)


def test_exactly_the_rest_of_a_cancelled_campaign_is_sent(app, sink):
    campaign_id = end_by_cancel(12)
    assert (campaign(campaign_id).state, reopening.count_people(campaign_id, Rest.CANCELLED)) == ("cancelled", 7)
    already = recipients(sink)
    assert reopening.reopen(campaign_id, Rest.CANCELLED)
    paused = campaign(campaign_id)
    assert (paused.state, paused.pause_reason) == ("paused", "reopened_cancelled")
    assert (paused.finished_at, paused.totals) == (None, None)
    assert reopening.return_rows(campaign_id, Rest.CANCELLED)
    assert campaign(campaign_id).state == "sending"
    assert_true_sum(campaign_id)
    assert send_round(campaign_id) is rounds.Progress.DONE
    assert len(already) == 5
    assert recipients(sink) == sorted(f"person{n}@example.com" for n in range(1, 13))
    assert campaign(campaign_id).totals["cancelled"] == 0
    assert_true_sum(campaign_id)


def test_who_has_unsubscribed_since_is_skipped(app, sink):
    campaign_id = end_by_cancel(8)
    late = db.session.get_one(Delivery, (campaign_id, 7))
    person = db.session.get_one(type(make_users(1, prefix="x")[0]), late.user_id)
    person.unsubscribed_at = utcnow()
    db.session.commit()
    reopening.reopen(campaign_id, Rest.CANCELLED)
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.sent, totals.skipped, totals.cancelled) == (7, 1, 0)
    assert_true_sum(campaign_id)


def test_doing_it_twice_changes_nothing(app, sink):
    campaign_id = end_by_cancel(12)
    assert reopening.reopen(campaign_id, Rest.CANCELLED)
    assert reopening.reopen(campaign_id, Rest.CANCELLED), "a double click before the rows are back"
    assert reopening.return_rows(campaign_id, Rest.CANCELLED)
    assert not reopening.reopen(campaign_id, Rest.CANCELLED), "it is being sent"
    assert not reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    assert len(sink.mails) == 12
    assert not reopening.return_rows(campaign_id, Rest.CANCELLED)


def test_a_crash_half_way_leaves_a_paused_campaign_that_a_person_can_resume(app, sink):
    campaign_id = end_by_cancel(12)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    return_one_batch(campaign_id, 2)
    assert campaign(campaign_id).state == "paused"
    assert_true_sum(campaign_id)
    assert states.resume(campaign_id)
    send_round(campaign_id)
    totals = campaign_totals(campaign_id)
    assert (totals.state, totals.sent, totals.cancelled) == ("sent", 10, 2)
    assert_true_sum(campaign_id)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    assert len(sink.mails) == len(set(recipients(sink))) == 12


def test_the_sweep_goes_on_with_what_a_crash_left(app, sink):
    campaign_id = end_by_cancel(12)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    return_one_batch(campaign_id, 2)
    assert reconcile(broker_is_empty=True).reopenings == ()
    with freeze(utcnow() + timedelta(minutes=1)):
        assert reconcile(broker_is_empty=True).reopenings == ((campaign_id, "cancelled"),)
    assert reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    assert len(sink.mails) == 12


def return_one_batch(campaign_id: int, number: int) -> None:
    """Do what `return_rows` has done when it dies after one batch."""
    assert reopening._return_batch(campaign_id, number, Rest.CANCELLED)


def test_a_cancel_that_comes_a_second_time_takes_nobody_back(app, sink):
    campaign_id = end_by_cancel(12)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    cancel_rest(campaign_id)
    assert campaign_totals(campaign_id).waiting == 7
    assert_true_sum(campaign_id)


def test_a_reopened_campaign_can_be_cancelled_again(app, sink):
    campaign_id = end_by_cancel(12)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    return_one_batch(campaign_id, 2)
    assert states.cancel(campaign_id)
    assert not reopening.return_rows(campaign_id, Rest.CANCELLED)
    assert cancel_rest(campaign_id) is rounds.Progress.DONE
    assert campaign(campaign_id).totals["cancelled"] == 7
    assert_true_sum(campaign_id)


def test_a_cancel_that_is_not_through_cannot_be_reopened(app):
    make_users(8)
    campaign_id = launch_and_freeze()
    states.cancel(campaign_id)
    assert not reopening.reopen(campaign_id, Rest.CANCELLED)
    assert not reopening.send_again(campaign_id, 1)


def test_the_brake_does_not_count_what_was_refused_before(app, sink, settings):
    campaign_id = end_by_cancel(12)
    batch = db.session.get_one(Batch, (campaign_id, 1))
    batch.failed, batch.sent = 5, 0
    db.session.commit()
    reopening.reopen(campaign_id, Rest.CANCELLED)
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    assert (campaign(campaign_id).brake_failed_seen, campaign(campaign_id).brake_attempted_seen) == (5, 5)


def test_the_sum_is_true_at_every_instant_while_rows_come_back(app, sink):
    campaign_id = end_by_cancel(300)
    reopening.reopen(campaign_id, Rest.CANCELLED)
    done, wrong = threading.Event(), []

    def watch() -> None:
        with app.app_context():
            while not done.wait(0.002):
                totals = campaign_totals(campaign_id)
                if not totals.balances:
                    wrong.append(totals)
                db.session.rollback()

    watcher = threading.Thread(target=watch)
    watcher.start()
    reopening.return_rows(campaign_id, Rest.CANCELLED)
    send_round(campaign_id)
    done.set()
    watcher.join()
    assert wrong == []
    assert len(sink.mails) == len(set(recipients(sink))) == 300


def test_two_at_once_return_everybody_once(app, sink):
    campaign_id = end_by_cancel(100)
    reopening.reopen(campaign_id, Rest.CANCELLED)

    def return_rows() -> None:
        with app.app_context():
            reopening.return_rows(campaign_id, Rest.CANCELLED)

    threads = [threading.Thread(target=return_rows) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert campaign(campaign_id).state == "sending"
    assert_true_sum(campaign_id)
    send_round(campaign_id)
    assert len(sink.mails) == 100
