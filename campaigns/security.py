"""Who may do what: rights, roles, the guards of routes, and the headers every answer carries.

A route without a guard answers 403: deny by default, and a test walks every route with every role.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from flask import Flask, Response, abort, current_app, redirect, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from campaigns.config import current_settings

View = TypeVar("View", bound=Callable[..., Any])


class Role(StrEnum):
    """What a person is in the admin; people without a role see only their own account."""

    OWNER = "owner"
    ADMIN = "admin"
    SENDER = "sender"
    EDITOR = "editor"
    VIEWER = "viewer"


class Right(StrEnum):
    """One thing a role may do."""

    VIEW = "view"  # see campaigns, reports and the dashboard
    WRITE = "write"  # write campaigns and send tests
    LAUNCH = "launch"  # launch, pause, resume and cancel
    SEE_USERS = "see_users"  # see people and their addresses in full
    MANAGE_USERS = "manage_users"  # import, change and delete people
    SEE_JOBS = "see_jobs"  # see the jobs page
    MANAGE_JOBS = "manage_jobs"  # run failed tasks again
    SEE_TEAM = "see_team"  # see who has which role
    MANAGE_TEAM = "manage_team"  # invite people, change roles up to one's own, deactivate
    SEE_AUDIT = "see_audit"  # see the activity log
    MANAGE_SITE = "manage_site"  # change settings, and make or change owners


_VIEWER = {Right.VIEW}
_EDITOR = _VIEWER | {Right.WRITE}
_SENDER = _EDITOR | {Right.LAUNCH, Right.SEE_USERS, Right.SEE_TEAM}
_ADMIN = _SENDER | {Right.MANAGE_USERS, Right.SEE_JOBS, Right.MANAGE_JOBS, Right.MANAGE_TEAM, Right.SEE_AUDIT}

ROLE_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ADMIN: frozenset(_ADMIN),
    Role.SENDER: frozenset(_SENDER),
    Role.EDITOR: frozenset(_EDITOR),
    Role.VIEWER: frozenset(_VIEWER),
}

NOBODY = "nobody"


def is_at_least(role: str, other: str) -> bool:
    """Tell whether `role` stands as high as `other`, or higher."""
    ladder = list(Role)  # the highest first
    return ladder.index(Role(role)) <= ladder.index(Role(other))


APP_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "manifest-src 'self'"
)
# A mail's HTML is shown by its own address in a frame: no scripts, no forms, no origin of ours, whoever wrote it.
PREVIEW_POLICY = (
    "default-src 'none'; img-src 'self' https: data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
# A mail that was received, shown as a cautious mail program does: no picture is loaded, for one of ours tells of an
# opening, and looking into the trial inbox is none.
RECEIVED_POLICY = PREVIEW_POLICY.replace("img-src 'self' https: data:", "img-src data:")
POLICIES = {"app": APP_POLICY, "preview": PREVIEW_POLICY, "received": RECEIVED_POLICY}


def public(view: View) -> View:
    """Let anybody in, logged in or not."""
    return _guard(view, "public")


def signed_in(view: View) -> View:
    """Let in people who are logged in, with or without a role."""
    return _guard(view, "signed_in")


def own_account(view: View) -> View:
    """Let in people who are logged in, also those who must set up two-step log-in before they do anything else."""
    view.is_own_account = True  # type: ignore[attr-defined]
    return signed_in(view)


def requires(right: Right) -> Callable[[View], View]:
    """Let in people whose role has the right."""
    return lambda view: _guard(view, right)


def csp(name: str) -> Callable[[View], View]:
    """Answer with another Content-Security-Policy: "app" (the default), "preview" or "received"."""

    def mark(view: View) -> View:
        view.policy = POLICIES[name]  # type: ignore[attr-defined]
        return view

    return mark


def status_only(view: View) -> View:
    """Refuse with a bare 401 or 403: a program asks, as a proxy does before it lets somebody through."""
    view.status_only = True  # type: ignore[attr-defined]
    return view


def can(right: Right | str) -> bool:
    """Tell whether the person of this request has the right, and has logged in as safely as it takes."""
    if not current_user.is_authenticated or current_user.role is None or must_set_up_two_step():
        return False
    return Right(right) in ROLE_RIGHTS[Role(current_user.role)]


def must_set_up_two_step() -> bool:
    """Tell whether the role of this request's person needs two-step log-in, and they do not have it yet."""
    least = current_settings().two_step_required_from
    if least == NOBODY or not current_user.is_authenticated or current_user.role is None:
        return False
    return current_user.two_step_at is None and is_at_least(current_user.role, least)


def register_security(app: Flask) -> None:
    """Guard every route and put the security headers on every answer."""
    app.before_request(_let_in_or_refuse)
    app.after_request(_add_headers)


def guard_of(view: Any) -> str | Right | None:
    """Return a view's guard: "public", "signed_in", a Right, or None for a view that nobody may use."""
    return getattr(view, "guard", None)


def _guard(view: View, guard: str | Right) -> View:
    view.guard = guard  # type: ignore[attr-defined]
    return view


def _let_in_or_refuse() -> AnyResponse | None:
    if request.endpoint is None or request.endpoint == "static":
        return None
    view = current_app.view_functions[request.endpoint]
    guard = guard_of(view)
    if guard == "public":
        return None
    if guard is None:
        abort(403)
    if not current_user.is_authenticated:
        return Response(status=401) if hasattr(view, "status_only") else _ask_to_log_in()
    if must_set_up_two_step():
        return Response(status=403) if hasattr(view, "status_only") else _lead_to_two_step()
    if guard != "signed_in" and not can(guard):
        return Response(status=403) if hasattr(view, "status_only") else abort(403)
    return None


def _ask_to_log_in() -> AnyResponse:
    if request.headers.get("HX-Request"):
        return Response(status=401)
    if request.method == "POST" and "_user_id" in session:
        abort(401)  # The log-in has ended under an open page; its form is shown again instead of being lost.
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("accounts.login", next=target), code=303)


def _lead_to_two_step() -> AnyResponse | None:
    if getattr(current_app.view_functions[str(request.endpoint)], "is_own_account", False):
        return None
    if request.headers.get("HX-Request"):
        abort(403)
    return redirect(url_for("accounts.two_step"), code=303)


def _add_headers(response: Response) -> Response:
    view = current_app.view_functions.get(request.endpoint or "")
    headers = response.headers
    headers.setdefault("Content-Security-Policy", getattr(view, "policy", APP_POLICY))
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if current_settings().is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    return response
