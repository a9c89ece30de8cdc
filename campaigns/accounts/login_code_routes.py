"""The second step of a log-in: the code after the password."""

from __future__ import annotations

from collections.abc import Callable

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts import two_step_services as services
from campaigns.accounts.blueprint import bp, go_to, half_login_token, send, start_session, this_visitor
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.limits import limit_codes, note_failure
from campaigns.accounts.logins import Visitor, note_refusal
from campaigns.accounts.models import LoginSession, User
from campaigns.accounts.queries import find_half_login
from campaigns.accounts.two_step_forms import CodeForm, RecoveryCodeForm
from campaigns.accounts.two_step_services import WrongCode
from campaigns.languages import local_target
from campaigns.remote_address import client_address
from campaigns.security import public

Page = str | tuple[str, int] | Response


@bp.route("/login/code", methods=["GET", "POST"])
@public
@limit_codes
def enter_code() -> Page:
    """Ask for the code of the app, and finish the log-in with it."""
    return _take(CodeForm(), services.finish_login)


@bp.route("/login/recovery-code", methods=["GET", "POST"])
@public
@limit_codes
def enter_recovery_code() -> Page:
    """Ask for a recovery code, for people without their app, and finish the log-in with it."""
    said = _("Logged in with a recovery code, which is used up now.")
    return _take(RecoveryCodeForm(), _finish_with_recovery_code, said=said)


def _take(form: CodeForm | RecoveryCodeForm, finish: Callable[..., User], *, said: str = "") -> Page:
    half = find_half_login(half_login_token())
    if half is None:
        return _begin_again()
    if not form.validate_on_submit():
        return _form_page(form), 422 if form.is_submitted() else 200
    remember = half.is_remembered
    try:
        user = finish(half_login_token(), code=text_of(form.code), visitor=this_visitor())
    except WrongCode as error:
        return _refuse(form, half, error)
    answer = _let_in(user, remember=remember)
    if said:
        flash(said, "ok")
    return answer


def _finish_with_recovery_code(token: str, *, code: str, visitor: Visitor) -> User:
    user, mail_id = services.finish_login_with_recovery_code(token, code=code, visitor=visitor)
    send(mail_id)
    return user


def _begin_again() -> Response:
    if not current_user.is_authenticated:
        flash(_("That took too long. Log in again."), "warn")
    return go_to("login")


def _refuse(form: CodeForm | RecoveryCodeForm, half: LoginSession, error: WrongCode) -> Page:
    note_failure()
    note_refusal(half.user_id, "code", ip_address=client_address())
    form.code.errors = [error.message]
    return _form_page(form), 422


def _let_in(user: User, *, remember: bool) -> Response:
    target = local_target(request.values.get("next"))
    start_session(user, remember=remember)
    return redirect(target, code=303)


def _form_page(form: CodeForm | RecoveryCodeForm) -> str:
    return render_template("accounts/login_code.html", form=form, next=local_target(request.values.get("next"), ""))
