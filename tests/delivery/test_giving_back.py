"""The end of a run: its last outcomes and its batch are given back at once, whoever holds the batch by then."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from campaigns.clock import freeze, utcnow
from campaigns.delivery import ledger
from campaigns.delivery.claims import Lease, Settlement
from campaigns.delivery.models import Batch, Delivery, DeliveryState
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.delivery.window_rows import write_settlements
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.parts import wait_until
from tests.people import make_users

LEASE_FOR = timedelta(seconds=30)
SENT, FAILED = DeliveryState.SENT, DeliveryState.FAILED


@pytest.fixture
def campaign_id(app) -> int:
    make_users(8)
    return launch_and_freeze()


def claim(campaign_id: int, size: int, *, worker: str = "one") -> Lease:
    lease = ledger.take_lease(campaign_id, 1, worker=worker, lease_for=LEASE_FOR)
    assert lease
    assert len(ledger.settle_and_claim(lease, (), size=size, lease_for=LEASE_FOR)) == size
    return lease


def states_of(campaign_id: int) -> list[str]:
    db.session.rollback()
    totals = campaign_totals(campaign_id)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)
    query = select(Delivery.state).where(Delivery.campaign_id == campaign_id).order_by(Delivery.position)
    return list(db.session.scalars(query))


def settled(*positions: int, state: DeliveryState = SENT) -> list[Settlement]:
    return [Settlement(position, state) for position in positions]


@pytest.mark.both_databases
def test_the_last_outcomes_and_the_batch_are_given_back_together(campaign_id):
    lease = claim(campaign_id, 3)
    ledger.settle_and_release(lease, [*settled(1, 2), *settled(3, state=FAILED)], error="451 4.3.0 Not now")
    batch = db.session.get_one(Batch, (campaign_id, 1))
    assert (batch.lease_token, batch.sent, batch.failed, batch.last_error) == (None, 2, 1, "451 4.3.0 Not now")
    assert states_of(campaign_id) == ["sent", "sent", "failed", *["waiting"] * 5]
    ledger.settle_and_release(lease, settled(1, 2, 3, state=FAILED))  # told again, after a commit whose answer got lost
    assert states_of(campaign_id) == ["sent", "sent", "failed", *["waiting"] * 5]


@pytest.mark.both_databases
def test_who_was_claimed_by_a_commit_whose_answer_got_lost_waits_again(campaign_id):
    lease = claim(campaign_id, 4)
    ledger.settle_and_release(lease, settled(1))
    assert states_of(campaign_id) == ["sent", *["waiting"] * 7]
    assert claim(campaign_id, 7)


@pytest.mark.both_databases
def test_a_late_owner_tells_the_truth_and_returns_nobody(campaign_id):
    """Nobody knows of the others any more whether they were handed over, and the batch is in other hands."""
    late = claim(campaign_id, 4)
    with freeze(utcnow() + timedelta(minutes=1)):
        assert ledger.abandon_expired(campaign_id, 1) == 4
        claim(campaign_id, 2, worker="other")
        ledger.settle_and_release(late, settled(1), error="421 4.3.2 Bye")
    batch = db.session.get_one(Batch, (campaign_id, 1))
    assert (batch.worker, batch.last_error, batch.lease_token is None) == ("other", None, False)
    expected = ["sent", *["uncertain"] * 3, "sending", "sending", "waiting", "waiting"]
    assert states_of(campaign_id) == expected


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_late_owner_waits_for_whoever_writes_in_the_batch(app, campaign_id):
    """What was counted before the other's commit would be wrong after it."""
    late = claim(campaign_id, 2)
    with freeze(utcnow() + timedelta(minutes=1)):
        ledger.abandon_expired(campaign_id, 1)
        other = claim(campaign_id, 2, worker="other")
    ledger.lock_batch(campaign_id, 1)
    write_settlements(other, settled(3, 4))

    def tell() -> None:
        with app.app_context():
            ledger.settle_and_release(late, settled(1, 2))

    thread = threading.Thread(target=tell)
    thread.start()
    wait_until(someone_waits, what="the late owner to wait")
    ledger.settle(other, ())
    thread.join(timeout=60)
    assert states_of(campaign_id) == ["sent"] * 4 + ["waiting"] * 4


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_answers_that_waited_for_a_deletion_find_their_rows(app, campaign_id):
    """PostgreSQL looks at a row once more that was changed while the settling waited for it."""
    lease = claim(campaign_id, 3)
    answers = [Settlement(each, SENT, reply=f"250 2.0.0 Ok: queued as {each}") for each in (1, 2, 3)]
    leaves = update(Delivery).where(Delivery.campaign_id == campaign_id, Delivery.position == 2).values(user_id=None)
    db.session.execute(leaves)

    def tell() -> None:
        with app.app_context():
            ledger.settle_and_release(lease, answers)

    thread = threading.Thread(target=tell)
    thread.start()
    wait_until(someone_waits, what="the settling to wait for the deletion")
    db.session.commit()
    thread.join(timeout=60)
    assert states_of(campaign_id) == ["sent"] * 3 + ["waiting"] * 5
    replies = select(Delivery.reply).where(Delivery.state == SENT).order_by(Delivery.position)
    assert list(db.session.scalars(replies)) == [answer.reply for answer in answers]


def someone_waits() -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with db.engine.connect() as connection:
        return bool(connection.scalar(text(waiting)))
