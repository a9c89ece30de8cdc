"""The freeze: everybody is in the ledger once, and who gets nothing is there with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from campaigns.audience.models import Suppression
from campaigns.clock import utcnow
from campaigns.config import current_settings
from campaigns.delivery.freeze import count_audience, freeze_audience
from campaigns.delivery.models import Batch, Delivery
from campaigns.delivery.queries import campaign_totals, ledger_totals
from campaigns.extensions import db
from tests.delivery.campaigns import launch_and_freeze
from tests.people import make_user, make_users

pytestmark = pytest.mark.both_databases


def make_mixed_audience() -> None:
    make_users(3)
    make_user("gone@example.com", unsubscribed_at=utcnow())
    make_user("new@example.com", verified=False)
    make_user("bad@example.com")
    db.session.add(Suppression(address_key="bad@example.com", reason="hard_bounce"))
    db.session.commit()


def test_every_user_is_a_candidate_and_those_left_out_have_a_reason(app):
    make_mixed_audience()
    campaign_id = launch_and_freeze()
    rows = db.session.execute(select(Delivery.address, Delivery.state, Delivery.reason)).all()
    assert {tuple(row) for row in rows} == {
        ("person1@example.com", "waiting", None),
        ("person2@example.com", "waiting", None),
        ("person3@example.com", "waiting", None),
        ("gone@example.com", "excluded", "unsubscribed"),
        ("new@example.com", "excluded", "unverified"),
        ("bad@example.com", "excluded", "suppressed"),
    }
    totals = campaign_totals(campaign_id)
    assert (totals.candidates, totals.excluded, totals.recipients, totals.waiting) == (6, 3, 3, 3)
    assert totals.balances
    assert totals == ledger_totals(campaign_id)


def test_the_count_before_the_launch_is_what_the_freeze_finds(app):
    make_mixed_audience()
    counted = count_audience()
    campaign_id = launch_and_freeze()
    totals = campaign_totals(campaign_id)
    assert (counted.candidates, counted.recipients) == (totals.candidates, totals.recipients)
    assert counted.excluded == {"suppressed": 1, "unsubscribed": 1, "unverified": 1}


@pytest.mark.parametrize(
    ("people", "most", "size"),
    [
        (107, 1_000, 100),  # never under a hundred
        (2_300, 1_000, 115),  # a twentieth, so that several connections share a small campaign
        (2_300, 110, 110),  # never above the setting
        (107, 40, 40),
    ],
)
def test_recipients_are_cut_into_batches_without_gaps(app, people, most, size):
    app.extensions["carillon.settings"] = replace(current_settings(), batch_size=most)
    make_users(people)
    campaign_id = launch_and_freeze()
    ranges = db.session.execute(
        select(Batch.first_position, Batch.last_position, Batch.waiting)
        .where(Batch.campaign_id == campaign_id)
        .order_by(Batch.number)
    ).all()
    starts = range(1, people + 1, size)
    assert [row.first_position for row in ranges] == list(starts)
    assert [row.last_position for row in ranges] == [*(start - 1 for start in starts[1:]), people]
    assert [row.waiting for row in ranges] == [row.last_position - row.first_position + 1 for row in ranges]


def test_a_second_freeze_changes_nothing(app):
    make_users(2)
    campaign_id = launch_and_freeze()
    assert freeze_audience(campaign_id) is None
    assert campaign_totals(campaign_id).candidates == 2


def test_people_who_join_after_the_freeze_are_no_candidates(app):
    make_users(2)
    campaign_id = launch_and_freeze()
    make_user("late@example.com")
    assert ledger_totals(campaign_id).candidates == 2


def test_an_audience_of_nobody_is_frozen_and_finished(app):
    campaign_id = launch_and_freeze()
    from campaigns.delivery.rounds import Progress, finish

    assert finish(campaign_id) is Progress.DONE
    assert campaign_totals(campaign_id).balances
