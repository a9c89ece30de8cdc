"""What people see when something goes wrong: always a page in their language, whatever part is away.

What they typed is kept where that is safe: the page of a stale form carries it along, ready to be sent again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Flask, Response, current_app, flash, g, redirect, request
from flask_babel import gettext as _
from flask_login import AnonymousUserMixin
from flask_wtf.csrf import CSRFError
from markupsafe import Markup
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException, SecurityError, TooManyRequests
from werkzeug.wrappers import Response as AnyResponse

from campaigns.errors import UserError
from campaigns.extensions import db
from campaigns.presentation import render_error_page
from campaigns.rate_limits import seconds_to_wait
from campaigns.role_words import role_word
from campaigns.security import ROLE_RIGHTS, Role, can, guard_of
from campaigns.site import SiteView

PAGES = (400, 401, 403, 404, 409, 413, 422, 429, 500, 503)
RETRY_AFTER_SECONDS = 10
KEPT_BYTES = 500_000  # a longer form is not carried along; its page can be gone back to
_SECRETS = ("password", "current", "token", "code")


def register_error_pages(app: Flask) -> None:
    """Answer every error with a page, or for a part of a page with a short text."""
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(CSRFError, answer_csrf_error)
    app.register_error_handler(UserError, answer_user_error)
    for away in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(away, answer_database_away)


def answer_http_error(error: HTTPException) -> AnyResponse:
    """Answer an HTTP error; redirects and ready-made answers pass through."""
    status = error.code or 500
    if error.response is not None or status < 400:
        return error.get_response()
    if isinstance(error, SecurityError):
        # The host is not ours, so no address of a page can be built, nor should one be.
        return Response("This site does not answer to that name.\n", status=400, content_type="text/plain")
    if isinstance(error, TooManyRequests):
        return _answer(429, retry_after=seconds_to_wait(), resend=kept_form())
    if status == 401:
        return _answer(401, resend=kept_form())
    if status == 403:
        return _answer(403, needed=role_needed())
    if status >= 500:
        return _answer(status, error_id=g.get("request_id", ""), resend=kept_form())
    return _answer(status)


def answer_csrf_error(_error: CSRFError) -> AnyResponse:
    """Answer a form whose token is missing or no longer right; nothing was changed."""
    message = _("This page was open so long that it no longer matches your session. Nothing was changed.")
    return _answer(400, message=message, resend=kept_form())


def answer_user_error(error: UserError) -> AnyResponse:
    """Answer what a person can mend and no page has shown: beside the form they came from, or as a page."""
    db.session.rollback()
    if error.status_code == 422 and request.method == "POST" and not _wants_fragment():
        flash(error.message, "bad")
        back = _page_before()
        if back:
            return redirect(back, code=303)
    return _answer(error.status_code, message=error.message)


def answer_database_away(error: Exception) -> AnyResponse:
    """Answer while the database is away or overloaded, without asking it anything more."""
    current_app.logger.error("the database does not answer: %s", error)
    with suppress(Exception):
        db.session.remove()
    # Known to be out of reach, and each try could take seconds.
    leave_database_alone()
    return _answer(503, retry_after=RETRY_AFTER_SECONDS, resend=kept_form())


def answer_database_behind() -> AnyResponse:
    """Answer while the database lacks what this version needs, without asking it anything more."""
    leave_database_alone()
    message = _(
        "Carillon was updated, and its database waits for that too. Who runs this site brings it up to date with "
        "“flask upgrade”. Nothing is lost, and everything goes on by itself afterwards."
    )
    return _answer(503, message=message, retry_after=RETRY_AFTER_SECONDS, resend=kept_form())


def leave_database_alone() -> None:
    """Make this request anonymous and its site nameless: every page looks these up."""
    g._login_user = AnonymousUserMixin()
    g.site = SiteView()


def kept_form() -> MultiDict[str, str] | None:
    """Return the fields of a refused form, to be offered for sending again; None where that would not be safe.

    Only a form of our own pages is kept: one that another site sent here must not become a button of ours. Passwords
    and files are never repeated.
    """
    if request.method != "POST" or not _comes_from_here() or (request.content_length or 0) > KEPT_BYTES:
        return None
    if request.files or any(name.rpartition("-")[2] in _SECRETS for name in request.form):
        return None
    fields = [(name, value) for name, value in request.form.items(multi=True) if name != "csrf_token"]
    return MultiDict(fields)


def role_needed() -> str:
    """Return a sentence with the lowest role that may do what was asked for; empty where no role is what is missing."""
    guard = guard_of(current_app.view_functions.get(request.endpoint or ""))
    may = [role for role in Role if guard in ROLE_RIGHTS[role]]
    if not may or can(str(guard)):
        return ""
    if may == [Role.OWNER]:
        return str(_("This needs the role “%(role)s”.", role=role_word(Role.OWNER)))
    return str(_("This needs the role “%(role)s” or a higher one.", role=role_word(may[-1])))


def _comes_from_here() -> bool:
    """Browsers say themselves where a form comes from; without their word it counts as foreign."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("Origin", "") == request.host_url.rstrip("/")


def _page_before() -> str | None:
    referrer = request.referrer or ""
    return referrer if referrer.startswith(request.host_url) else None


def _answer(status: int, **context: Any) -> Response:
    response = _fragment(status, **context) if _wants_fragment() else _page(status, **context)
    if context.get("retry_after"):
        response.headers["Retry-After"] = str(context["retry_after"])
    return response


def _page(status: int, **context: Any) -> Response:
    shown = status if status in PAGES else 500 if status >= 500 else 400
    return Response(render_error_page(shown, **context), status=status, content_type="text/html; charset=utf-8")


def _fragment(status: int, *, message: str = "", **_context: Any) -> Response:
    text = message or _("That did not work. Load the page again.")
    html = Markup('<div class="notice bad" role="alert"><div><p>{}</p></div></div>').format(text)
    return Response(html, status=status, content_type="text/html; charset=utf-8")


def _wants_fragment() -> bool:
    return request.headers.get("HX-Request") == "true"
