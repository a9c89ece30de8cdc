"""The day on which a campaign goes out, as its readers read it."""

from __future__ import annotations

from datetime import datetime

from babel.dates import format_date

from campaigns.languages import zone


def run_date(moment: datetime, *, zone_name: str, language: str) -> str:
    """Return the day of a moment where the site is, written out in the campaign's language."""
    return format_date(moment.astimezone(zone(zone_name)).date(), format="long", locale=language)
