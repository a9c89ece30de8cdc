"""Times as clocks on a wall show them, where daylight saving skips an hour or shows it twice."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask_babel import get_locale

from campaigns.clock import utcnow
from campaigns.languages import zone as zone_named


def moments_of(local: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the moments (UTC, the earlier first) at which clocks in `zone` show the naive time `local`.

    None when the clocks skip it in spring, two when they show it twice in autumn, else one.
    """
    guesses = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return tuple(moment for moment in dict.fromkeys(guesses) if moment.astimezone(zone).replace(tzinfo=None) == local)


def next_existing(local: datetime, zone: ZoneInfo) -> datetime:
    """Return what clocks in `zone` show when a skipped time would have been: the naive local time after the gap."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone).replace(tzinfo=None)


def offset_text(moment: datetime, zone: ZoneInfo) -> str:
    """Return how far `zone` is from UTC at that moment: UTC+9, UTC-3:30."""
    minutes = int((moment.astimezone(zone).utcoffset() or UTC.utcoffset(None)).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")


def zone_label(name: str, at: datetime | None = None) -> str:
    """Return a zone as people know it, with its distance from UTC at that moment (now): Seoul (UTC+9)."""
    city = name.rpartition("/")[2].replace("_", " ")
    return name if name == "UTC" else f"{city} ({offset_text(at or utcnow(), zone_named(name))})"


def describe_moment(at: datetime, zone_name: str) -> str:
    """Return a moment as clocks in that zone show it, with the weekday and the zone."""
    locale = get_locale() or "en"
    pattern = "y년 M월 d일(E) HH:mm" if str(locale).startswith("ko") else "EEE d MMM y, HH:mm"
    written = format_datetime(at, pattern, tzinfo=zone_named(zone_name), locale=locale)
    return f"{written} {zone_label(zone_name, at)}"
