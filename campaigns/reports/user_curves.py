"""The curve of users on the dashboard: over a week, a month or a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flask_babel import gettext as _

from campaigns.audience.models import UserCount
from campaigns.audience.user_counts import UserCurve, user_curve
from campaigns.presentation import format_date, format_number, format_time

STEPS: Final = {7: timedelta(hours=3), 30: timedelta(days=1), 365: timedelta(days=7)}
SHOWN_FIRST: Final = 30


@dataclass(frozen=True)
class ShownCurve:
    """A line chart's series, with None where nothing was counted, its labels, and what it says in a sentence."""

    days: int
    choices: Sequence[int]
    is_empty: bool
    series: Sequence[tuple[str, Sequence[int | None]]]
    labels: Sequence[str]
    summary: str


def read_curve(days: int | None) -> ShownCurve:
    """Return the curve over 7, 30 or 365 days; any other number is 30."""
    shown = days if days in STEPS else SHOWN_FIRST
    curve = user_curve(days=shown, step=STEPS[shown])
    return ShownCurve(
        days=shown,
        choices=list(STEPS),
        is_empty=curve.is_empty,
        series=[
            (_("People who receive"), [None if point is None else point.receiving for point in curve.points]),
            (_("All users"), [None if point is None else point.users for point in curve.points]),
            (_("Unsubscribed"), [None if point is None else point.unsubscribed for point in curve.points]),
        ],
        labels=[format_time(at, "short") if shown == 7 else format_date(at) for at in curve.times],
        summary=_summary(curve),
    )


def _summary(curve: UserCurve) -> str:
    counted: list[UserCount] = [point for point in curve.points if point is not None]
    if not counted:
        return ""
    first, last = format_number(counted[0].receiving), format_number(counted[-1].receiving)
    return str(_("People who receive: %(first)s at the beginning, %(last)s now.", first=first, last=last))
