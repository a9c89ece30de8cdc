"""Logging in and out."""

from __future__ import annotations

from flask import current_app, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_limiter import RateLimitExceeded
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts import logins
from campaigns.accounts.blueprint import bp, go_to, start_half_session, start_session, this_visitor
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.forms import LogInForm
from campaigns.accounts.limits import limit_failures, note_failure
from campaigns.accounts.logins import Outcome
from campaigns.accounts.queries import somebody_has_a_role
from campaigns.error_pages import answer_http_error
from campaigns.languages import local_target
from campaigns.presentation import format_duration
from campaigns.rate_limits import seconds_to_wait
from campaigns.remote_address import client_address
from campaigns.security import guard_of, public

Page = str | tuple[str, int] | Response


@bp.route("/login", methods=["GET", "POST"])
@public
@limit_failures
def login() -> Page:
    """Show the log-in form and begin a log-in; a failure says no more than that the two do not fit."""
    if not somebody_has_a_role():
        return go_to("set_up")
    if current_user.is_authenticated and request.method == "GET":
        return redirect(_target(), code=303)
    form = LogInForm()
    if not form.validate_on_submit():
        return _form_page(form), 422 if form.is_submitted() else 200
    attempt = logins.log_in(
        text_of(form.email), text_of(form.password)[:1000], remember=form.remember.data, visitor=this_visitor()
    )
    if attempt.user is None or attempt.outcome is Outcome.REFUSED:
        return _refuse(form, attempt.user.id if attempt.user else None)
    target = _target(has_role=attempt.user.role is not None)
    if attempt.outcome is Outcome.NEEDS_CODE:
        start_half_session(attempt.user)
        return redirect(url_for("accounts.enter_code", next=target), code=303)
    start_session(attempt.user, remember=form.remember.data)
    return redirect(target, code=303)


@bp.post("/logout")
@public
def logout() -> Response:
    """End this log-in; harmless when it has ended already."""
    if current_user.is_authenticated and (login := logins.current_login()):
        logins.end_login(current_user.id, login.id)
    session.clear()
    return go_to("login")


@bp.errorhandler(RateLimitExceeded)
def ask_to_wait(error: RateLimitExceeded) -> Page | Response:
    """Say when the next try is possible; on the log-in page beside the form, so that nothing has to be typed again."""
    if request.endpoint != "accounts.login":
        return answer_http_error(error)
    form, wait = LogInForm(), seconds_to_wait()
    words = _("Too many wrong attempts. You can try again in %(wait)s.", wait=format_duration(wait))
    form.form_errors.append(words)
    return Response(_form_page(form), status=429, headers={"Retry-After": str(wait)}, content_type="text/html")


@bp.before_app_request
def note_visit() -> None:
    """Keep a log-in that is in use from ending by rest. Pages for anybody must not need the database for it."""
    view = current_app.view_functions.get(request.endpoint or "")
    if guard_of(view) in (None, "public") or not current_user.is_authenticated:
        return
    if login := logins.current_login():
        logins.note_visit(login)


def _refuse(form: LogInForm, user_id: int | None) -> Page:
    """Say the same, and do the same work, whatever did not fit and whoever it was."""
    note_failure()
    logins.keep_refusal(user_id, ip_address=client_address())
    form.form_errors.append(
        _("The address or the password is wrong, or the account cannot be used: not confirmed yet, or deactivated.")
    )
    return _form_page(form), 422


def _form_page(form: LogInForm) -> str:
    return render_template("accounts/login.html", form=form, next=local_target(request.values.get("next"), ""))


def _target(*, has_role: bool | None = None) -> str:
    """Return where to go after the log-in: to the page asked for, else home, which is /account without a role."""
    if has_role is None:
        has_role = current_user.role is not None
    target = local_target(request.values.get("next"))
    return "/account" if target == "/" and not has_role else target
