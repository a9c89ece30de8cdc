"""The time zones that people choose from."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import available_timezones

from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs

_AREAS = (
    "Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/",
    "Pacific/",
)  # fmt: skip


@lru_cache(maxsize=1)
def zone_choices() -> tuple[SelectChoice, ...]:
    """Return the zones to choose from, grouped by continent."""
    names = sorted(name for name in available_timezones() if name.startswith(_AREAS))
    cities = (SelectChoice(name, name.replace("_", " "), optgroup=name.partition("/")[0]) for name in names)
    return (SelectChoice("UTC", "UTC"), *cities)
