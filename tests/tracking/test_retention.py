"""How long it is known who opened and clicked, and what is left then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from campaigns.audience.services import delete_user
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.extensions import db
from campaigns.ops.clean_up import clean_up
from tests.people import make_users
from tests.tracking.mails import follow, later, send_tracked, totals, tracked_links, visits

pytestmark = pytest.mark.both_databases


@pytest.fixture
def clicked(app, sink, client) -> int:
    """A campaign of two people who have both followed the first link."""
    make_users(2)
    campaign_id = send_tracked()
    with later():
        for number in (0, 1):
            follow(client, tracked_links(sink, number)[0])
    assert len(visits(campaign_id)) == 4
    return campaign_id


def test_rows_go_after_their_days_and_totals_stay(clicked):
    with later(days=89):
        assert clean_up()["tracked_visit"] == 0
    before = totals(clicked)
    with later(days=91):
        assert clean_up()["tracked_visit"] == 4
        assert clean_up()["tracked_visit"] == 0
    assert visits(clicked) == {}
    assert totals(clicked) == before == {-1: (2, 2, 0), 1: (2, 2, 0)}


def test_a_link_works_for_ever_but_is_not_counted_anew(clicked, client, sink):
    with later(days=91):
        clean_up()
        before = totals(clicked)
        assert follow(client, tracked_links(sink)[1]).status_code == 302
    assert totals(clicked) == before
    assert visits(clicked) == {}


def test_a_campaign_that_has_not_ended_keeps_its_rows(clicked):
    db.session.execute(update(Campaign).values(finished_at=None, frozen_at=utcnow() - timedelta(days=400)))
    db.session.commit()
    assert clean_up()["tracked_visit"] == 0


def test_whoever_is_deleted_leaves_no_row_and_no_new_one_comes(clicked, client, sink):
    user_id = db.session.execute(db.text("SELECT user_id FROM delivery WHERE position = 1")).scalar_one()
    delete_user(user_id, keep_out=False)
    assert {position for position, _link in visits(clicked)} == {2}
    with later(hours=5):
        assert follow(client, tracked_links(sink)[1]).status_code == 302
    assert {position for position, _link in visits(clicked)} == {2}
    assert totals(clicked) == {-1: (2, 2, 0), 1: (2, 2, 0)}
