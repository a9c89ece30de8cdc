"""One's own account: profile, announcements, password, log-ins, and the way out."""

from __future__ import annotations

from flask import flash, render_template, request, session
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts import logins, services
from campaigns.accounts.blueprint import bp, go_to, send
from campaigns.accounts.devices import describe_device
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.forms import AnnouncementsForm, ChangePasswordForm, DeleteAccountForm, DigestForm, ProfileForm
from campaigns.accounts.limits import limit_guesses, note_failure
from campaigns.accounts.models import LoginSession
from campaigns.accounts.queries import list_logins
from campaigns.errors import UserError
from campaigns.languages import LANGUAGE_COOKIE, ONE_YEAR_SECONDS
from campaigns.security import Right, own_account, public, requires

Page = str | tuple[str, int] | Response


@bp.get("/account")
@own_account
def account() -> str:
    """Show everything about one's own account."""
    return _account_page()


@bp.post("/account")
@own_account
def save_profile() -> Page:
    """Save name, language, zone and theme."""
    form = ProfileForm()
    if not form.validate():
        return _account_page(profile=form), 422
    services.update_profile(
        current_user.id,
        name=text_of(form.name),
        language=form.language.data or None,
        timezone=form.timezone.data or None,
    )
    flash(_("Saved."), "ok")
    response = go_to("account")
    response.set_cookie(
        "theme", text_of(form.theme), max_age=ONE_YEAR_SECONDS, samesite="Lax", secure=request.is_secure
    )
    # What was chosen with the switch on some page must not win over what is said here.
    response.delete_cookie(LANGUAGE_COOKIE)
    return response


@bp.post("/account/announcements")
@own_account
def choose_announcements() -> Page:
    """Take announcements, or leave them."""
    wanted = bool(AnnouncementsForm().wanted.data)
    services.choose_announcements(current_user.id, wanted=wanted)
    flash(_("You will get announcements.") if wanted else _("You will not get announcements any more."), "ok")
    return go_to("account")


@bp.post("/account/digest")
@requires(Right.MANAGE_JOBS)
def choose_digest() -> Page:
    """Take the daily digest, or leave it."""
    wanted = bool(DigestForm().wanted.data)
    services.choose_digest(current_user.id, wanted=wanted)
    flash(_("You will get the digest.") if wanted else _("You will not get the digest any more."), "ok")
    return go_to("account")


@bp.post("/account/password")
@own_account
@limit_guesses
def change_password() -> Page:
    """Change the password and end every other log-in."""
    form = ChangePasswordForm(known_words=[current_user.email, current_user.name])
    if not form.validate():
        return _account_page(password=form), 422
    try:
        mail_id = services.change_password(
            current_user.id, current=text_of(form.current), new=text_of(form.password), keep_login_id=_this_login_id()
        )
    except UserError as error:
        note_failure()
        form.current.errors = [error.message]
        return _account_page(password=form), 422
    send(mail_id)
    flash(_("Your new password is set. Every other log-in has been ended."), "ok")
    return go_to("account")


@bp.post("/account/logins/<int:login_id>/end")
@own_account
def end_login(login_id: int) -> Response:
    """End one of one's own log-ins."""
    logins.end_login(current_user.id, login_id)
    flash(_("The log-in has been ended."), "ok")
    return go_to("account")


@bp.post("/account/logins/end-others")
@own_account
def end_other_logins() -> Response:
    """End all of one's own log-ins but this one."""
    logins.end_other_logins(current_user.id, keep_id=_this_login_id())
    flash(_("Every other log-in has been ended."), "ok")
    return go_to("account")


@bp.route("/account/delete", methods=["GET", "POST"])
@own_account
@limit_guesses
def delete_account() -> Page:
    """Delete one's own account, with the password and the address typed out."""
    form = DeleteAccountForm(address=current_user.email)
    if not form.validate_on_submit():
        return render_template("accounts/delete.html", form=form), 422 if form.is_submitted() else 200
    try:
        services.delete_account(current_user.id, password=text_of(form.password))
    except UserError as error:
        note_failure()
        form.form_errors.append(error.message)
        return render_template("accounts/delete.html", form=form), 422
    session.clear()
    return go_to("account_deleted")


@bp.get("/account/deleted")
@public
def account_deleted() -> str:
    """Say goodbye."""
    return render_template("accounts/deleted.html")


def _account_page(*, profile: ProfileForm | None = None, password: ChangePasswordForm | None = None) -> str:
    theme = request.cookies.get("theme", "system")
    return render_template(
        "accounts/account.html",
        profile=profile or ProfileForm(formdata=None, obj=current_user, data={"theme": theme}),
        password=password or ChangePasswordForm(formdata=None),
        digest=DigestForm(formdata=None, data={"wanted": current_user.wants_digest}),
        announcements=AnnouncementsForm(formdata=None, data={"wanted": current_user.wants_announcements}),
        form=profile or password,
        logins=_shown_logins(),
    )


def _shown_logins() -> list[tuple[LoginSession, str, bool]]:
    """Return each log-in with its device in words, and whether it is this one."""
    this_id = _this_login_id()
    return [(login, describe_device(login.device), login.id == this_id) for login in list_logins(current_user.id)]


def _this_login_id() -> int | None:
    login = logins.current_login()
    return login.id if login else None
