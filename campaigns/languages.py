"""Which language and time zone a person sees: the switch, then their account, then the browser, then the site."""

from __future__ import annotations

from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import has_request_context, redirect, request
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.extensions import db
from campaigns.security import public
from campaigns.site import current_site

LANGUAGES = {"ko": "한국어", "en": "English"}
LANGUAGE_COOKIE = "language"
ONE_YEAR_SECONDS = 365 * 86_400


def choose_language() -> str:
    """Return "ko" or "en" for the person of this request; outside a request the site's language."""
    if not has_request_context():
        return current_site().language
    cookie = request.cookies.get(LANGUAGE_COOKIE)
    if cookie in LANGUAGES:
        return str(cookie)
    if current_user.is_authenticated and current_user.language in LANGUAGES:
        return str(current_user.language)
    return request.accept_languages.best_match(list(LANGUAGES)) or current_site().language


def choose_timezone() -> str:
    """Return the IANA zone that times are shown in."""
    if has_request_context() and current_user.is_authenticated and current_user.timezone:
        return str(current_user.timezone)
    return current_site().timezone


def zone(name: str) -> ZoneInfo:
    """Return the zone of that name."""
    return ZoneInfo(name)


@public
def set_language() -> Response:
    """Remember the language of this browser and go back to the page the switch was on."""
    response = redirect(local_target(request.form.get("next")), code=303)
    language = request.form.get("language")
    if language in LANGUAGES:
        _remember_for_person(str(language))
        response.set_cookie(LANGUAGE_COOKIE, str(language), max_age=ONE_YEAR_SECONDS, samesite="Lax", httponly=True)
    return response


def _remember_for_person(language: str) -> None:
    """Their own choice comes before the browser's: a switch that did not change it would do nothing."""
    if current_user.is_authenticated and current_user.language:
        current_user.language = language
        db.session.commit()


def local_target(target: str | None, default: str = "/") -> str:
    """Return `target` when it is a path on this site, else `default`: a redirect never leaves the site."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target:
        return default
    parts = urlsplit(target)
    has_control = any(ord(character) < 33 for character in target)
    return default if parts.scheme or parts.netloc or has_control else target
