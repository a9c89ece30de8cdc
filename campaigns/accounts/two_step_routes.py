"""One's own second step: set up, recovery codes, turned off."""

from __future__ import annotations

from flask import flash, render_template
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts import second_factor
from campaigns.accounts import two_step_services as services
from campaigns.accounts.blueprint import bp, go_to, send
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.limits import limit_codes, note_failure
from campaigns.accounts.logins import current_login
from campaigns.accounts.queries import count_recovery_codes
from campaigns.accounts.two_step_forms import CodeForm, PasswordForm, TurnOffForm
from campaigns.accounts.two_step_services import WrongCode, WrongPassword
from campaigns.security import must_set_up_two_step, own_account
from campaigns.site import current_site

Page = str | tuple[str, int] | Response


@bp.get("/account/two-step")
@own_account
def two_step() -> str:
    """Show whether it is on, and what can be done about it."""
    return _page()


@bp.post("/account/two-step/begin")
@own_account
@limit_codes
def begin_two_step() -> Page:
    """Offer a secret for the app, after the password."""
    form = PasswordForm()
    if not form.validate():
        return _page(begin=form), 422
    try:
        services.begin_set_up(current_user.id, password=text_of(form.password))
    except WrongPassword as error:
        note_failure()
        form.password.errors = [error.message]
        return _page(begin=form), 422
    return go_to("two_step")


@bp.post("/account/two-step/on")
@own_account
@limit_codes
def turn_two_step_on() -> Page:
    """Take the first code, and show the recovery codes, this once."""
    form, login = CodeForm(), current_login()
    if not form.validate():
        return _page(confirm=form), 422
    try:
        codes, mail_id = services.turn_on(
            current_user.id, code=text_of(form.code), keep_login_id=login.id if login else None
        )
    except WrongCode as error:
        note_failure()
        form.code.errors = [error.message]
        return _page(confirm=form), 422
    send(mail_id)
    return render_template("accounts/recovery_codes.html", codes=codes, is_new=True)


@bp.post("/account/two-step/recovery-codes")
@own_account
@limit_codes
def renew_recovery_codes() -> Page:
    """Make new recovery codes, and show them, this once."""
    form = CodeForm(prefix="renew")
    if not form.validate():
        return _page(renew=form), 422
    try:
        codes = services.renew_recovery_codes(current_user.id, code=text_of(form.code))
    except WrongCode as error:
        note_failure()
        form.code.errors = [error.message]
        return _page(renew=form), 422
    return render_template("accounts/recovery_codes.html", codes=codes, is_new=False)


@bp.post("/account/two-step/off")
@own_account
@limit_codes
def turn_two_step_off() -> Page:
    """Turn it off, with the password and a code."""
    form = TurnOffForm(prefix="off")
    if not form.validate():
        return _page(off=form), 422
    try:
        mail_id = services.turn_off(current_user.id, password=text_of(form.password), code=text_of(form.code))
    except (WrongPassword, WrongCode) as error:
        note_failure()
        field = form.password if isinstance(error, WrongPassword) else form.code
        field.errors = [error.message]
        return _page(off=form), 422
    send(mail_id)
    flash(_("Two-step log-in is off. The password alone opens your account."), "ok")
    return go_to("two_step")


def _page(
    *,
    begin: PasswordForm | None = None,
    confirm: CodeForm | None = None,
    renew: CodeForm | None = None,
    off: TurnOffForm | None = None,
) -> str:
    is_on = current_user.two_step_at is not None
    return render_template(
        "accounts/two_step.html",
        is_required=must_set_up_two_step(),
        offer=None if is_on else second_factor.find_offer(current_user, site_name=current_site().name),
        codes_left=count_recovery_codes(current_user.id) if is_on else 0,
        form=begin or confirm or renew or off,
        begin=begin or PasswordForm(formdata=None),
        confirm=confirm or CodeForm(formdata=None),
        renew=renew or CodeForm(formdata=None, prefix="renew"),
        off=off or TurnOffForm(formdata=None, prefix="off"),
    )
