"""Rules of five fields that say when, as clocks in a zone show it. Pure: no application, no database.

A time that clocks skip in spring comes once, when they go on; one that they show twice in autumn comes once, the first
time (as Debian's cron does).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
LONGEST: Final = 60
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class CrontabError(ValueError):
    """A rule that cannot be read; `part` is one of FIELDS, "number" (not five fields), "never" or "too often"."""

    def __init__(self, part: str) -> None:
        super().__init__(f"bad crontab: {part}")
        self.part = part


def check_crontab(expression: str) -> str:
    """Return the rule with single blanks between its fields. Raises CrontabError naming the part that is wrong."""
    parts = expression.upper().split()
    if len(parts) != len(FIELDS) or len(expression) > LONGEST:
        raise CrontabError("number")
    rule = " ".join(parts)
    _read(" ".join([*parts[:3], "*", *parts[4:]]))
    _read(" ".join([*parts[:2], "1", *parts[3:]]))
    # Each field can be read by itself; together they may still name a day like the 30th of February.
    _read(rule, otherwise="never")
    if next_moment(rule, ZoneInfo("UTC"), after=START) is None:
        raise CrontabError("never")
    return rule


def check_daily_at_most(expression: str) -> str:
    """Return the rule as `check_crontab` does; also raises CrontabError("too often") for more than once a day."""
    rule = check_crontab(expression)
    minute, hour = rule.split()[:2]
    if not (minute.isdigit() and hour.isdigit()):
        raise CrontabError("too often")
    return rule


def next_moment(rule: str, zone: ZoneInfo, *, after: datetime) -> datetime | None:
    """Return the first moment (UTC) after `after` at which the rule holds; None when there is none in fifty years."""
    return next(moments(rule, zone, after=after), None)


def next_moments(rule: str, zone: ZoneInfo, *, after: datetime, count: int) -> list[datetime]:
    """Return up to `count` moments (UTC) after `after`, in order."""
    return list(islice(moments(rule, zone, after=after), count))


def moments(rule: str, zone: ZoneInfo, *, after: datetime) -> Iterator[datetime]:
    """Yield the moments (UTC) after `after` at which the rule holds."""
    for local in CronSim(rule, after.astimezone(zone)):
        moment = local.astimezone(UTC)
        # In the hour that clocks show a second time, the rule's own time is the first one, which is over.
        if moment > after:
            yield moment


def _read(rule: str, *, otherwise: str = "") -> None:
    try:
        CronSim(rule, START)
    except CronSimError as error:
        raise CrontabError(otherwise or str(error).removeprefix("Bad ")) from error
