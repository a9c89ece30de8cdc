"""Percent, time left and polling, worked out from numbers alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.compose.models import Campaign
from campaigns.delivery.queries import Totals
from campaigns.reports.progress import Phase, Progress, look, phase_of

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def seen(*, age_seconds: float = 600, rate: float | None = 10.0, state: str = "sending", **counts: int) -> Progress:
    campaign = Campaign(state=state, frozen_at=NOW - timedelta(seconds=age_seconds))
    return look(campaign, totals(state=state, **counts), rate=rate, now=NOW)


def totals(*, state: str = "sending", **counts: int) -> Totals:
    recipients = sum(counts.values())
    return Totals(id=1, state=state, candidates=recipients, recipients=recipients, **counts)


def test_a_hundred_percent_is_only_said_when_everybody_has_an_outcome() -> None:
    assert seen(sent=999_999, waiting=1).percent == 99
    assert seen(sent=999_000, failed=1_000).percent == 100
    assert seen().percent == 0


def test_refused_for_the_moment_is_no_outcome() -> None:
    assert seen(sent=50, deferred=50).percent == 50


@pytest.mark.parametrize(
    ("waiting", "rate", "seconds"),
    [
        (93, 10.0, 10),
        (444, 10.0, 40),
        (3_000, 10.0, 300),
        (12_000, 10.0, 1200),
        (100_000, 10.0, 10_800),
        (5, 100.0, 10),
    ],
)
def test_time_left_is_rounded_as_people_say_it(waiting: int, rate: float, seconds: float) -> None:
    assert seen(sent=100_000, waiting=waiting, rate=rate).seconds_left == seconds


def test_time_left_is_not_guessed_at_the_very_start() -> None:
    assert seen(sent=10, waiting=990, age_seconds=12).seconds_left is None
    assert seen(sent=30, waiting=970, age_seconds=12).seconds_left is not None
    assert seen(sent=10, waiting=990, age_seconds=31).seconds_left is not None


def test_time_left_is_not_guessed_without_a_rate() -> None:
    assert seen(sent=10, waiting=990, rate=0.0).seconds_left is None


@pytest.mark.parametrize(
    ("state", "counts", "phase"),
    [
        ("sending", {"waiting": 1, "sending": 1}, Phase.SENDING),
        ("sending", {"sent": 1, "sending": 1}, Phase.FINISHING),
        ("paused", {"waiting": 1, "sending": 1}, Phase.PAUSING),
        ("paused", {"waiting": 1}, Phase.PAUSED),
        ("sent", {"sent": 2}, Phase.SENT),
        ("sent", {"sent": 1, "failed": 1}, Phase.PARTLY_FAILED),
        ("sent", {"failed": 1, "uncertain": 1}, Phase.NEEDS_REVIEW),
        ("cancelled", {"cancelled": 2}, Phase.CANCELLED),
    ],
)
def test_the_phase_follows_from_state_and_numbers(state: str, counts: dict[str, Any], phase: Phase) -> None:
    assert phase_of(state, totals(state=state, **counts)) is phase
