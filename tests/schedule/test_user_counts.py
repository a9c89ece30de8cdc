"""The curve of users: each hour counted once, gaps left as gaps, hourly for 60 days and daily after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from campaigns import charts
from campaigns.audience.models import Suppression, UserCount
from campaigns.audience.user_counts import count_users, thin_out_counts, user_curve
from campaigns.clock import freeze, utcnow
from campaigns.extensions import db
from tests.people import make_user, make_users

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def add_count(hour: datetime, users: int = 1) -> None:
    db.session.add(
        UserCount(hour=hour, users=users, verified=users, receiving=users, unsubscribed=0, suppressed=0, by_language={})
    )


@pytest.mark.both_databases
def test_everybody_is_counted_once_for_each_hour(app: Flask) -> None:
    with freeze(NOON):
        assert count_users() == {"users": 0}
    make_users(3, language="ko")
    make_user("a@example.com", verified=False)
    make_user("b@example.com", unsubscribed_at=NOON, language="en")
    make_user("c@example.com")
    db.session.add(Suppression(address_key="c@example.com", reason="hard_bounce"))
    db.session.add(Suppression(address_key="nobody@example.com", reason="by_hand"))
    db.session.commit()
    for minutes in (61, 75, 119):
        with freeze(NOON + timedelta(minutes=minutes)):
            assert count_users() == {"users": 6}
    with freeze(NOON + timedelta(minutes=59)):
        assert count_users() == {"users": 0}
    first, second = db.session.scalars(select(UserCount).order_by(UserCount.hour))
    assert (first.hour, first.users, first.by_language) == (NOON, 0, {})
    assert (second.hour, second.users, second.verified, second.receiving) == (NOON + HOUR, 6, 5, 3)
    assert (second.unsubscribed, second.suppressed) == (1, 1)
    assert second.by_language == {"ko": 3, "en": 1, "": 2}


@pytest.mark.both_databases
def test_what_is_older_than_sixty_days_keeps_the_last_hour_of_each_day(app: Flask) -> None:
    for hours in range(0, 62 * 24, 4):
        add_count(NOON - timedelta(hours=hours), users=hours)
    db.session.commit()
    before = len(list(db.session.scalars(select(UserCount.hour))))
    with freeze(NOON):
        gone = thin_out_counts("Asia/Seoul")
        assert thin_out_counts("Asia/Seoul") == 0
    hours = list(db.session.scalars(select(UserCount.hour).order_by(UserCount.hour)))
    assert len(hours) == before - gone
    old = [hour for hour in hours if hour < NOON - timedelta(days=60)]
    days = [(hour + 9 * HOUR).date() for hour in old]
    assert len(days) == len(set(days)) >= 2
    assert all(b - a == 4 * HOUR for a, b in zip(hours[len(old) :], hours[len(old) + 1 :], strict=False))


def test_hours_without_a_count_are_gaps_and_not_guesses(app: Flask) -> None:
    for days_ago in (0, 1, 4, 5):
        add_count(NOON - timedelta(days=days_ago), users=10 - days_ago)
    db.session.commit()
    with freeze(NOON):
        curve = user_curve(days=30, step=timedelta(days=1))
    assert [point and point.users for point in curve.points] == [5, 6, None, None, 9, 10]
    assert curve.times[-1] == NOON


def test_a_gap_breaks_the_line(app: Flask) -> None:
    assert charts.line([1, 2, None, 2, None, 1, 1], 2) == (
        "M0.0 50.00L166.7 0.00M500.0 0.00h4M833.3 50.00L1000.0 50.00"
    )
    assert charts.line([None, None], 1) == ""
    assert charts.plot([[1, None, 3]]).ticks[0] == 3


def test_the_dashboard_draws_it_over_a_week_a_month_and_a_year(owner_client: FlaskClient) -> None:
    assert 'id="users"' not in owner_client.get("/").text
    now = utcnow().replace(minute=0, second=0, microsecond=0)
    for days_ago in (0, 1, 6, 20, 200):
        add_count(now - timedelta(days=days_ago), users=100 - days_ago // 10)
    db.session.commit()
    for days, first in ((7, 100), (30, 98), (365, 80), (99, 98)):
        page = owner_client.get(f"/?days={days}", headers={"Accept-Language": "en"}).text
        assert f"People who receive: {first} at the beginning, 100 now." in page
        assert "Show as a table" in page
