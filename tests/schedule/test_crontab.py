"""Rules of the clock: what they mean on the days when clocks jump, and what is said of those that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask_babel import force_locale

from campaigns.crontab import CrontabError, check_crontab, check_daily_at_most, next_moment, next_moments
from campaigns.crontab_words import describe_crontab_error, describe_interval, describe_rule

NEW_YORK, BERLIN, SEOUL = (ZoneInfo(name) for name in ("America/New_York", "Europe/Berlin", "Asia/Seoul"))


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        (NEW_YORK, datetime(2026, 3, 7, 12), ["2026-03-08T03:00", "2026-03-09T02:30", "2026-03-10T02:30"]),
        (BERLIN, datetime(2026, 3, 28, 12), ["2026-03-29T03:00", "2026-03-30T02:30", "2026-03-31T02:30"]),
        (SEOUL, datetime(2026, 3, 28, 12), ["2026-03-29T02:30", "2026-03-30T02:30", "2026-03-31T02:30"]),
    ],
)
def test_a_time_that_is_skipped_in_spring_comes_once(zone: ZoneInfo, day: datetime, expected: list[str]) -> None:
    found = next_moments("30 2 * * *", zone, after=day.replace(tzinfo=zone), count=3)
    assert [f"{moment.astimezone(zone):%Y-%m-%dT%H:%M}" for moment in found] == expected


@pytest.mark.parametrize(
    ("zone", "rule", "day", "first"),
    [
        (NEW_YORK, "30 1 * * *", datetime(2026, 10, 31, 12), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        (BERLIN, "30 2 * * *", datetime(2026, 10, 24, 12), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_time_that_is_shown_twice_in_autumn_comes_once(
    zone: ZoneInfo, rule: str, day: datetime, first: datetime
) -> None:
    both = next_moments(rule, zone, after=day.replace(tzinfo=zone), count=2)
    assert both[0] == first
    assert both[1] - both[0] == timedelta(hours=25)
    # Asked between the two: the first is over and does not come again.
    for minute in (15, 45):
        between = first.astimezone(zone).replace(minute=minute, fold=1)
        assert next_moment(rule, zone, after=between) == both[1]


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("0 9 * *", "number"), ("0 9 * * * *", "number"), ("60 9 * * *", "minute"), ("0 24 * * *", "hour"),
        ("0 9 32 * *", "day-of-month"), ("0 9 * 13 *", "month"), ("0 9 * * 8", "day-of-week"),
        ("0 9 30 2 *", "never"), ("x 9 * * *", "minute"), ("0 9 * * MONDAY", "day-of-week"), ("", "number"),
        ("0 9 * * #", "day-of-week"), ("0 9 L/L * *", "day-of-month"), ("-- 9 * * *", "minute"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_said_of_its_part(app, rule: str, part: str) -> None:
    with pytest.raises(CrontabError) as error:
        check_crontab(rule)
    assert error.value.part == part
    assert describe_crontab_error(error.value)


@pytest.mark.parametrize("rule", ["*/5 9 * * *", "0 9,15 * * *", "0 * * * *", "0-1 9 * * *"])
def test_a_campaign_goes_out_once_a_day_at_most(rule: str) -> None:
    assert check_crontab(rule) == rule
    with pytest.raises(CrontabError) as error:
        check_daily_at_most(rule)
    assert error.value.part == "too often"


def test_rules_are_said_as_people_say_them(app) -> None:
    english = {
        "30 3 * * *": "daily at 03:30",
        "0 3 * * 0": "every Sunday at 03:00",
        "0 9 * * 1-5": "Monday to Friday at 09:00",
        "0 9 * * 1,4": "every Monday, Thursday at 09:00",
        "0 9 15 * *": "on day 15 of every month at 09:00",
        "0 9 L * *": "on the last day of every month at 09:00",
        "0 9 1 3 *": "every year on day 1 of March at 09:00",
        "0 * * * *": "every hour",
        "15 * * * *": "every hour, at minute 15",
        "0 9 1,15 * *": "0 9 1,15 * *",
    }
    with force_locale("en"):
        assert {rule: describe_rule(rule) for rule in english} == english
        assert [describe_interval(s) for s in (1, 10, 60, 300)] == [
            "every second", "every 10 seconds", "every minute", "every 5 minutes",
        ]  # fmt: skip
