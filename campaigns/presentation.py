"""What every template may use: addresses of static files, icons, numbers, times, and the frame around each page.

`register_presentation(app)` adds these to Jinja:
  static_url(name)                    /static/<name>?v=<hash of the content>
  icon(name, label="")                an inlined Lucide icon; without a label it is decoration
  format_number(n), format_percent(share), format_size(bytes), format_duration(seconds)
  format_time(at), format_date(at)    text in the reader's zone; time_tag(at) wraps it in <time>
  mask_address(address)               han…@example.com
  url_if(*endpoints)                  address of the first endpoint that exists, else ""
  label_id(label)                     a short id made from a label
  can(right)                          whether the person has the right: {% if can("launch") %}
  site, settings                      campaigns.site.SiteView and campaigns.config.Settings
  page_frame()                        what the layout shows around the content; never raises
  draw_grid, draw_plot, draw_slices, draw_line   see campaigns/charts.py
All but the functions of the frame are filters as well: {{ count | format_number }}.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import flask_babel
from flask import Flask, current_app, g, render_template, url_for
from flask_babel import ngettext
from markupsafe import Markup, escape
from werkzeug.local import LocalProxy

from campaigns import charts
from campaigns.config import current_settings
from campaigns.page_frame import page_frame, page_language, url_if
from campaigns.security import can
from campaigns.site import SiteView, current_site

LANGUAGES = (("ko", "한국어"), ("en", "English"))
NOTHING = "—"


def register_presentation(app: Flask) -> None:
    """Add the globals and filters listed at the top of this file to the application's Jinja environment."""
    shared: dict[str, Callable[..., Any]] = {
        "static_url": static_url,
        "icon": icon,
        "format_number": format_number,
        "format_percent": format_percent,
        "format_size": format_size,
        "format_duration": format_duration,
        "format_time": format_time,
        "format_date": format_date,
        "time_tag": time_tag,
        "mask_address": mask_address,
    }
    app.jinja_env.filters.update(shared)
    app.jinja_env.globals.update(
        shared,
        url_if=url_if,
        label_id=label_id,
        page_frame=page_frame,
        can=can,
        site=LocalProxy(current_site),
        settings=LocalProxy(current_settings),
        languages=LANGUAGES,
        draw_grid=charts.grid,
        draw_plot=charts.plot,
        draw_slices=charts.slices,
        draw_line=charts.line,
    )


def render_error_page(status: int, **context: Any) -> str:
    """Return the page for an HTTP status, in the person's language; never raises, whatever is away.

    Shapes: `message` replaces the explanation, `error_id` names a fault, `retry_after` is in seconds.
    """
    name = f"errors/{status}.html"
    if status < 500:
        try:
            return render_template(name, **context)
        except Exception:
            current_app.logger.exception("the error page had to be rendered without the person and the site")
    _forget_person_and_site()
    return render_template(name, **context)


def _forget_person_and_site() -> None:
    """Make this request anonymous and the site nameless, so that nothing after this asks the database."""
    g._login_user = current_app.login_manager.anonymous_user()  # type: ignore[attr-defined]
    g.site = SiteView()


def static_url(name: str) -> str:
    """Return the address of a static file with a hash of its content, so that it may be cached for ever."""
    path = Path(current_app.static_folder or "static", name)
    return url_for("static", filename=name, v=_content_hash(path, path.stat().st_mtime_ns))


def icon(name: str, label: str = "") -> Markup:
    """Return an icon as inline SVG; raises KeyError for a name that static/vendor/copy.mjs does not list."""
    body = _icons()[name]
    role = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" viewBox="0 0 24 24" focusable="false" {}>{}</svg>').format(role, body)


def format_number(number: float | None) -> str:
    """Return a number with the separators of the language; a dash for None."""
    return NOTHING if number is None else str(flask_babel.format_decimal(number))


def format_percent(share: float | None, digits: int = 1) -> str:
    """Return a share from 0 to 1 as percent; a dash for None. 100 % is only said when nothing is missing."""
    if share is None:
        return NOTHING
    if digits and share < 1 and round(share, digits + 2) >= 1:
        share = 1 - 10 ** -(digits + 2)
    return str(flask_babel.format_percent(share, "#,##0." + "#" * digits + "%" if digits else "#,##0%"))


def format_size(size_bytes: int | None) -> str:
    """Return a size of a file or mail in B, KB or MB; a dash for None."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < 1024:
        return f"{flask_babel.format_decimal(size_bytes)} B"
    if size_bytes < 1024 * 1024:
        return f"{flask_babel.format_decimal(round(size_bytes / 1024))} KB"
    return f"{flask_babel.format_decimal(round(size_bytes / 1024 / 1024, 1))} MB"


def format_duration(seconds: float | None) -> str:
    """Return a duration in its one fitting unit, as a person would say it; a dash for None."""
    if seconds is None:
        return NOTHING
    # Rounded before the unit is chosen: 3,599 seconds are 1 hour, never 60 minutes.
    if (whole := max(0, round(seconds))) < 60:
        return str(ngettext("%(num)s second", "%(num)s seconds", whole))
    if (minutes := round(seconds / 60)) < 60:
        return str(ngettext("%(num)s minute", "%(num)s minutes", minutes))
    if (hours := round(seconds / 3600)) < 48:
        return str(ngettext("%(num)s hour", "%(num)s hours", hours))
    return str(ngettext("%(num)s day", "%(num)s days", round(seconds / 86400)))


def format_time(at: datetime | None, style: str = "medium") -> str:
    """Return a moment as text in the reader's zone and language; a dash for None.

    Styles: `short` (no year), `medium` (to the minute), `long` (to the second, with the zone).
    """
    if at is None:
        return NOTHING
    korean = _is_korean()
    patterns = {
        "short": "M월 d일 HH:mm" if korean else "d MMM HH:mm",
        "medium": "y년 M월 d일 HH:mm" if korean else "d MMM y HH:mm",
        "long": "y년 M월 d일 HH:mm:ss ZZZZ" if korean else "d MMM y HH:mm:ss ZZZZ",
    }
    return str(flask_babel.format_datetime(at, patterns[style]))


def format_date(day: date | datetime | None) -> str:
    """Return a day as text, a moment as its day in the reader's zone; a dash for None."""
    if day is None:
        return NOTHING
    pattern = "y년 M월 d일" if _is_korean() else "d MMM y"
    write = flask_babel.format_datetime if isinstance(day, datetime) else flask_babel.format_date
    return str(write(day, pattern))


def time_tag(at: datetime | None, style: str = "medium") -> Markup:
    """Return a moment as <time>, readable by people and by programs; a dash for None."""
    if at is None:
        return escape(NOTHING)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), format_time(at, style))


def mask_address(address: str | None) -> str:
    """Return an address with most of the part before the @ hidden: han…@example.com."""
    local, _at, domain = (address or "").rpartition("@")
    if not local:
        return NOTHING
    return f"{local[: min(3, max(1, len(local) // 2))]}…@{domain}"


def label_id(label: str) -> str:
    """Return a short id that follows from a label, so that a part fetched again gets the same one."""
    return hashlib.sha256(str(label).encode()).hexdigest()[:8]


def _is_korean() -> bool:
    return page_language() == "ko"


@lru_cache(maxsize=256)
def _content_hash(path: Path, _modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


@lru_cache(maxsize=1)
def _icons() -> dict[str, Markup]:
    """Read the vendored sprite: name → the drawing inside. Its content is ours, so it is trusted as markup."""
    folder = Path(__file__).parent.parent / "static" / "vendor"
    text = next(folder.glob("lucide-*.svg")).read_text(encoding="utf-8")
    found = re.findall(r'<symbol id="([^"]+)"[^>]*>(.*?)</symbol>', text)
    return {name: Markup(body) for name, body in found}  # noqa: S704
