"""What the ledger's row forgets is kept: each attempt that was not accepted, each decision, once, and by whom."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from sqlalchemy import select

from campaigns.audience.services import delete_user
from campaigns.clock import freeze, utcnow
from campaigns.config import current_settings
from campaigns.delivery import ledger, reopening
from campaigns.delivery.claims import Answer, Lease, Settlement
from campaigns.delivery.journal import Journal
from campaigns.delivery.models import Delivery, DeliveryAttempt, DeliveryState
from campaigns.delivery.reconcile import reconcile
from campaigns.delivery.recovery import replay_dead_journals
from campaigns.delivery.reopening import Rest
from campaigns.delivery.turns import RATE_LIMITED
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.people import make_users

pytestmark = pytest.mark.both_databases
D = DeliveryState
LEASE_FOR = timedelta(seconds=30)
NO_USER = Settlement(
    2, D.FAILED, "no_such_address", "550 5.1.1 unknown", suppresses=True, answer=Answer("mx:25", "rcpt", 550, "5.1.1")
)


def attempts(campaign_id: int) -> list[DeliveryAttempt]:
    db.session.rollback()
    query = select(DeliveryAttempt).where(DeliveryAttempt.campaign_id == campaign_id)
    return list(db.session.scalars(query.order_by(DeliveryAttempt.id)))


def told(campaign_id: int) -> list[tuple[int, str, str | None]]:
    return [(each.position, each.outcome, each.reason) for each in attempts(campaign_id)]


def claim(campaign_id: int, size: int, worker: str = "host:7") -> Lease:
    lease = ledger.take_lease(campaign_id, 1, worker=worker, lease_for=LEASE_FOR)
    assert lease
    assert len(ledger.settle_and_claim(lease, (), size=size, lease_for=LEASE_FOR)) == size
    return lease


def die(lease: Lease, *answered: Settlement, open_position: int) -> None:
    """Leave the journal of a process that was killed with these answers, one mail without one, the rest untouched."""
    journal = Journal(current_settings().journal_dir, lease).__enter__()
    for answer in answered:
        journal.hand_over(answer.position)
        journal.answer(answer)
    journal.hand_over(open_position)
    os.close(journal._file)


def test_each_refusal_is_kept_with_the_servers_words_and_an_acceptance_adds_nothing(app, sink):
    person, _other, unknown = make_users(3)
    sink.refusals[person.email] = "451 4.7.1 Greylisted, come back later"
    sink.refusals[unknown.email] = "550 5.1.1 No such user"
    campaign_id = launch_and_freeze()
    moment = utcnow()
    send_round(campaign_id)
    with freeze(moment + timedelta(minutes=2)):
        reconcile(broker_is_empty=True)
        sink.refusals[person.email] = "452 4.2.2 Mailbox full"
        send_round(campaign_id)
    sink.refusals.clear()
    with freeze(moment + timedelta(minutes=9)):
        reconcile(broker_is_empty=True)
        send_round(campaign_id)
    assert campaign_state(campaign_id) == {1: "sent", 2: "sent", 3: "failed"}
    by_person = {
        position: [each for each in attempts(campaign_id) if each.position == position] for position in (1, 2, 3)
    }
    first, second = by_person[1]
    assert (first.try_number, first.outcome, first.reason) == (1, "deferred", "greylisted")
    assert (first.phase, first.code, first.enhanced) == ("rcpt", 451, "4.7.1")
    assert first.reply == "451 4.7.1 Greylisted, come back later"
    assert first.server == f"127.0.0.1:{sink.port}"
    assert first.worker.endswith(f":{os.getpid()}")
    assert timedelta(seconds=50) < first.next_attempt_at - first.at < timedelta(minutes=2)
    assert (second.try_number, second.code, second.reason) == (2, 452, "mailbox_full")
    assert by_person[2] == []
    assert [(each.outcome, each.code) for each in by_person[3]] == [("failed", 550)]


def campaign_state(campaign_id: int) -> dict[int, str]:
    db.session.rollback()
    rows = db.session.execute(select(Delivery.position, Delivery.state).where(Delivery.campaign_id == campaign_id))
    return {position: state for position, state in rows}  # noqa: C416 - a Row is no pair to dict


def test_a_settlement_is_told_once_and_only_by_whoever_changes_the_row(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 4)
    stranger = Lease(campaign_id, 1, lease.first_position, lease.last_position, "another token")
    open_end = Settlement(1, D.UNCERTAIN, "connection_lost", answer=Answer("mx:25", "content", 0, ""))
    assert ledger.settle(stranger, [open_end, NO_USER]) == 0
    assert ledger.settle(lease, [open_end, NO_USER]) == 2
    assert ledger.settle(lease, [open_end, NO_USER]) == 0, "the database's answer got lost, so it is told again"
    assert told(campaign_id) == [(1, "uncertain", "connection_lost"), (2, "failed", "no_such_address")]


def test_who_is_put_off_by_a_limit_or_given_back_untouched_is_no_attempt(app):
    make_users(3)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 3)
    refused = Answer("mx:25", "mail", 550, "5.7.1")
    ledger.settle(lease, [
        Settlement(1, D.DEFERRED, RATE_LIMITED, next_attempt_at=utcnow(), counts_as_attempt=False),
        Settlement(2, D.WAITING, counts_as_attempt=False),
        Settlement(3, D.WAITING, "sender_refused", "550 5.7.1 not you", counts_as_attempt=False, answer=refused),
    ])  # fmt: skip
    assert told(campaign_id) == [(3, "returned", "sender_refused")]
    assert attempts(campaign_id)[0].try_number == 1


def test_a_killed_workers_journal_is_told_once_though_it_is_replayed_twice(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 4)
    die(lease, NO_USER, open_position=3)
    (file,) = current_settings().journal_dir.iterdir()
    copy = file.read_bytes()
    for _ in range(2):
        replay_dead_journals(current_settings().journal_dir)
        file.write_bytes(copy)
    assert told(campaign_id) == [
        (2, "failed", "no_such_address"), (3, "uncertain", "worker_lost"),
        (1, "returned", "worker_lost"), (4, "returned", "worker_lost"),
    ]  # fmt: skip
    failed = attempts(campaign_id)[0]
    assert (failed.server, failed.phase, failed.code, failed.enhanced) == ("mx:25", "rcpt", 550, "5.1.1")
    assert {each.worker for each in attempts(campaign_id)} == {"host:7"}


def test_a_journal_of_the_version_before_is_still_read(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    die(claim(campaign_id, 4), NO_USER._replace(answer=None), open_position=3)
    (file,) = current_settings().journal_dir.iterdir()
    file.write_bytes(file.read_bytes().replace(b"\thost:7\n", b"\n"))
    replay_dead_journals(current_settings().journal_dir)
    assert campaign_state(campaign_id) == {1: "waiting", 2: "failed", 3: "uncertain", 4: "waiting"}
    assert [each.code for each in attempts(campaign_id)] == [0, 0, 0, 0]


def test_a_silent_worker_is_told_once_and_then_the_truth(app):
    make_users(4)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 3)
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
        reconcile(broker_is_empty=True)
    die(lease, NO_USER, open_position=3)
    replay_dead_journals(current_settings().journal_dir)
    assert told(campaign_id) == [
        (1, "uncertain", "worker_lost"), (2, "uncertain", "worker_lost"), (3, "uncertain", "worker_lost"),
        (2, "failed", "no_such_address"), (1, "returned", "worker_lost"),
    ]  # fmt: skip


def end_with_uncertain(*uncertain: int) -> int:
    """End a campaign of six of whom nobody knows about these."""
    make_users(6)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 6)
    outcomes = [Settlement(n, D.UNCERTAIN if n in uncertain else D.SENT, "connection_lost") for n in range(1, 7)]
    ledger.settle(lease, outcomes)
    ledger.settle_and_release(lease, ())
    send_round(campaign_id)
    return campaign_id


def test_what_people_decide_is_told_with_their_name(app, sink):
    campaign_id = end_with_uncertain(1, 2, 3)
    reopening.leave(campaign_id, 1)
    reopening.leave(campaign_id, 1)
    assert reopening.send_again(campaign_id, 2)
    assert not reopening.send_again(campaign_id, 2)
    send_round(campaign_id)
    assert reopening.reopen(campaign_id, Rest.UNCERTAIN)
    for _ in range(2):
        reopening.return_rows(campaign_id, Rest.UNCERTAIN)
    decided = [each for each in attempts(campaign_id) if each.actor]
    assert [(each.position, each.outcome, each.actor) for each in decided] == [
        (1, "left", "command line"), (2, "sent_again", "command line"), (3, "sent_again", "command line"),
    ]  # fmt: skip


def test_a_decision_stands_when_the_worker_only_says_once_more_that_nobody_knows(app):
    make_users(2)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 2)
    with freeze(utcnow() + timedelta(minutes=1)):
        reconcile(broker_is_empty=True)
    reopening.leave(campaign_id, 2)
    die(lease, Settlement(1, D.SENT), open_position=2)
    replay_dead_journals(current_settings().journal_dir)
    db.session.rollback()
    assert db.session.get_one(Delivery, (campaign_id, 2)).reason == "left"


def test_they_are_forgotten_with_the_person_and_nothing_is_added_afterwards(app):
    people = make_users(3)
    campaign_id = launch_and_freeze()
    lease = claim(campaign_id, 3)
    ledger.settle(lease, [NO_USER, NO_USER._replace(position=1, state=D.UNCERTAIN)])
    delete_user(people[1].id, keep_out=False)
    assert told(campaign_id) == [(1, "uncertain", "no_such_address")]
    delete_user(people[2].id, keep_out=False)
    assert ledger.settle(lease, [NO_USER._replace(position=3)]) == 1
    assert told(campaign_id) == [(1, "uncertain", "no_such_address")]
    assert db.session.get_one(Delivery, (campaign_id, 3)).reply == "550 5.1.1 unknown"
