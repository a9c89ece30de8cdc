"""What is counted: people once, their times apart, machines apart from people."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from campaigns import clock
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.delivery.models import Delivery
from campaigns.extensions import db
from campaigns.tracking.models import ANY_LINK, OPENING, TrackedVisit
from tests.people import make_users
from tests.tracking.mails import follow, later, picture, send_tracked, totals, tracked_links, visits

pytestmark = pytest.mark.both_databases


@pytest.fixture
def sent(app, sink) -> int:
    make_users(2)
    return send_tracked()


def test_people_are_counted_once_and_their_times_each(client, sink, sent):
    first, second = tracked_links(sink)
    with later():
        follow(client, first)
    with later(hours=2):
        follow(client, second)
        follow(client, tracked_links(sink, 1)[0])
    with later(hours=3):
        follow(client, first)
    assert totals(sent) == {ANY_LINK: (2, 4, 0), 1: (2, 3, 0), 2: (1, 1, 0)}


def test_a_double_click_is_one(client, sink, sent):
    with later():
        for _ in range(5):
            assert follow(client, tracked_links(sink)[0]).status_code == 302
    assert totals(sent) == {ANY_LINK: (1, 1, 0), 1: (1, 1, 0)}


def test_openings_are_counted_apart_from_clicks(client, sink, sent):
    with later():
        follow(client, picture(sink))
    assert totals(sent) == {OPENING: (1, 1, 0)}


def test_who_comes_before_the_mail_can_have_been_seen_is_a_machine(client, sink, sent):
    handed_over_at = db.session.query(Delivery.settled_at).filter_by(campaign_id=sent, position=1).scalar()
    with clock.freeze(handed_over_at + timedelta(seconds=9)):
        follow(client, tracked_links(sink)[0])
        follow(client, picture(sink))
    assert totals(sent) == {OPENING: (0, 0, 1), ANY_LINK: (0, 0, 1), 1: (0, 0, 1)}
    with clock.freeze(handed_over_at + timedelta(seconds=11)):
        follow(client, tracked_links(sink)[0])
    assert totals(sent)[1] == (1, 1, 1)
    assert db.session.get_one(TrackedVisit, (sent, 1, 1)).first_at == handed_over_at + timedelta(seconds=11)


def test_who_comes_before_the_outcome_is_written_is_a_machine(client, sink, sent):
    db.session.execute(update(Delivery).where(Delivery.campaign_id == sent).values(state="sending", settled_at=None))
    db.session.commit()
    follow(client, tracked_links(sink)[0])
    assert totals(sent)[1] == (0, 0, 1)


@pytest.mark.parametrize(
    "headers", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}]
)
def test_a_page_loaded_ahead_is_a_machine(client, sink, sent, headers):
    with later():
        assert follow(client, tracked_links(sink)[0], headers=headers).status_code == 302
    assert totals(sent) == {ANY_LINK: (0, 0, 1), 1: (0, 0, 1)}


def test_different_links_within_seconds_soon_after_sending_are_a_machine_from_the_first_on(client, sink, sent):
    start = utcnow() + timedelta(minutes=5)
    for after, link in ((0, tracked_links(sink)[0]), (1, tracked_links(sink)[1])):
        with clock.freeze(start + timedelta(seconds=after)):
            follow(client, link)
    assert totals(sent) == {ANY_LINK: (0, 0, 2), 1: (0, 0, 1), 2: (0, 0, 1)}
    assert visits(sent) == {(1, ANY_LINK): (0, 2), (1, 1): (0, 1), (1, 2): (0, 1)}


def test_different_links_within_seconds_are_a_person_once_the_scanning_is_over(client, sink, sent):
    with later(minutes=20):
        for link in tracked_links(sink):
            follow(client, link)
    assert totals(sent) == {ANY_LINK: (1, 2, 0), 1: (1, 1, 0), 2: (1, 1, 0)}


def test_another_persons_click_at_the_same_moment_is_no_burst(client, sink, sent):
    with later(minutes=5):
        follow(client, tracked_links(sink, 0)[0])
        follow(client, tracked_links(sink, 1)[1])
    assert totals(sent) == {ANY_LINK: (2, 2, 0), 1: (1, 1, 0), 2: (1, 1, 0)}


def test_what_a_campaign_does_not_track_is_not_counted(client, sink, app):
    make_users(1)
    sent = send_tracked(opens=False)
    path = "/o/" + tracked_links(sink)[0].split("/")[2] + ".gif"
    with later():
        assert follow(client, path).status_code == 200
    assert totals(sent) == {}


def test_clicks_count_after_the_campaign_has_ended(client, sink, sent):
    assert db.session.get_one(Campaign, sent).state == "sent"
    with later(days=30):
        follow(client, tracked_links(sink)[0])
    assert totals(sent)[1] == (1, 1, 0)


def test_nothing_that_names_a_device_is_kept(client, sink, sent):
    with later():
        follow(
            client,
            tracked_links(sink)[0],
            headers={"User-Agent": "Browser/1"},
            environ_base={"REMOTE_ADDR": "192.0.2.7"},
        )
    columns = set(TrackedVisit.__table__.columns.keys())
    assert columns == {"campaign_id", "position", "link", "user_id", "first_at", "times", "machine_times"}
