"""What the layout shows around every page: navigation, language, theme, person; it never fails, whatever is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import flask_babel
from flask import current_app, has_request_context, request, url_for
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from campaigns import __version__
from campaigns.config import current_settings
from campaigns.security import can, guard_of
from campaigns.site import current_site

T = TypeVar("T")

PRODUCT = "Carillon"
THEMES = ("light", "dark", "system")


@dataclass(frozen=True)
class NavItem:
    """One line of the side navigation; shown when its endpoint exists and the person may visit it."""

    endpoint: str
    label: Any
    icon: str
    group: str = "main"
    trial_only: bool = False


@dataclass(frozen=True)
class NavLink:
    """A navigation item as this person sees it on this page."""

    label: str
    icon: str
    group: str
    href: str
    is_current: bool


@dataclass(frozen=True)
class PageFrame:
    """Everything the layout shows around the content, collected without ever raising.

    An error page must come out when the database is away, so each part falls back to what needs no lookup.
    """

    product: str
    version: str
    site_name: str
    language: str
    theme: str
    user_name: str
    user_address: str
    navigation: Sequence[NavLink]
    trial_mode: bool
    home_url: str
    here: str
    back: str


NAVIGATION = (
    NavItem("reports.dashboard", _l("Dashboard"), "layout-dashboard"),
    NavItem("compose.list_campaigns", _l("Campaigns"), "send"),
    NavItem("audience.list_users", _l("Users"), "users"),
    NavItem("audience.list_imports", _l("Imports"), "upload"),
    NavItem("ops.jobs", _l("Jobs"), "activity", group="manage"),
    NavItem("team.list_members", _l("Team"), "shield", group="manage"),
    NavItem("audit.list_entries", _l("Activity log"), "history", group="manage"),
    NavItem("settings.index", _l("Settings"), "settings", group="manage"),
    NavItem("ops.inbox", _l("Inbox"), "inbox", group="manage", trial_only=True),
)


def page_frame() -> PageFrame:
    """Collect what the layout shows around the content; raises nothing, also when the database is away."""
    name, address = _quietly(_person, ("", ""))
    trial_mode = _quietly(_trial_mode, False)
    return PageFrame(
        product=PRODUCT,
        version=__version__,
        site_name=_quietly(_site_name, ""),
        language=_quietly(page_language, "en"),
        theme=_theme(),
        user_name=name,
        user_address=address,
        navigation=_quietly(lambda: _navigation(trial_mode), ()) if address else (),
        trial_mode=trial_mode,
        home_url=url_if("reports.dashboard") or "/",
        here=_here(),
        back=_back(),
    )


def url_if(*endpoints: str, **values: Any) -> str:
    """Return the address of the first of these endpoints that this application has, else an empty text."""
    for endpoint in endpoints:
        if endpoint in current_app.view_functions:
            return url_for(endpoint, **values)
    return ""


def _navigation(trial_mode: bool) -> tuple[NavLink, ...]:
    return tuple(
        NavLink(str(item.label), item.icon, item.group, url_for(item.endpoint), _is_current(item))
        for item in NAVIGATION
        if item.endpoint in current_app.view_functions and (trial_mode or not item.trial_only) and _may_visit(item)
    )


def _is_current(item: NavItem) -> bool:
    """An item is current on its own page, and on the pages below its address."""
    own = url_for(item.endpoint).rstrip("/")
    path = request.path.rstrip("/")
    return path == own or (bool(own) and path.startswith(own + "/"))


def _may_visit(item: NavItem) -> bool:
    guard = guard_of(current_app.view_functions[item.endpoint])
    if guard in ("public", "signed_in"):
        return True
    return guard is not None and can(guard)


def _person() -> tuple[str, str]:
    if not current_user or not current_user.is_authenticated:
        return "", ""
    address = str(getattr(current_user, "email", "") or "")
    return str(getattr(current_user, "name", "") or address), address


def _site_name() -> str:
    name = current_site().name
    return "" if name == PRODUCT else name


def _trial_mode() -> bool:
    return current_settings().trial_mode


def page_language() -> str:
    """Return the language code of the page being made."""
    locale = flask_babel.get_locale()
    return str(locale.language) if locale else "en"


def _theme() -> str:
    chosen = request.cookies.get("theme", "") if has_request_context() else ""
    return chosen if chosen in THEMES else "system"


def _here() -> str:
    """The address to come back to after changing the language; only a page that can be read again."""
    if not has_request_context() or request.method != "GET":
        return "/"
    return request.full_path.rstrip("?")


def _back() -> str:
    """The page of this site that the person came from, as a path; else an empty text."""
    came_from = urlsplit(request.referrer or "") if has_request_context() else urlsplit("")
    if not came_from.netloc or came_from.netloc != request.host:
        return ""
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")


def _quietly(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except Exception:
        return otherwise
