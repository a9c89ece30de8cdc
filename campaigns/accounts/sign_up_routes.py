"""Signing up, verifying the address, and choosing a new password: everything that goes through a mail."""

from __future__ import annotations

from flask import flash, render_template, session
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.accounts import sign_up as services
from campaigns.accounts.account_links import LinkState, OpenedLink, open_link
from campaigns.accounts.blueprint import LINK_STATUS, bp, go_to, send
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.forms import AddressForm, ResetForm, SignUpForm
from campaigns.accounts.limits import limit_mails
from campaigns.accounts.models import LinkPurpose
from campaigns.accounts.sign_up import LinkNotReady
from campaigns.security import public
from campaigns.site import current_site

Page = str | tuple[str, int] | Response


@bp.route("/signup", methods=["GET", "POST"])
@public
@limit_mails
def sign_up() -> Page:
    """Show the sign-up form and take sign-ups; the answer is the same whether the address has an account."""
    form = SignUpForm()
    if not current_site().signups_open:
        return render_template("accounts/sign_up_closed.html"), 403 if form.is_submitted() else 200
    if not form.validate_on_submit():
        return render_template("accounts/sign_up.html", form=form), 422 if form.is_submitted() else 200
    if not form.is_pressed_again:
        name, language = text_of(form.name), str(get_locale())
        send(services.sign_up(form.address, text_of(form.password), name=name, language=language))
    return _mail_is_on_its_way(form, "sign_up_sent")


@bp.get("/signup/sent")
@public
def sign_up_sent() -> str:
    """Say that a mail is on its way."""
    return render_template("accounts/sign_up_sent.html", address=session.get("mail_sent_to", ""), form=AddressForm())


@bp.route("/verify", methods=["GET", "POST"])
@public
@limit_mails
def request_verification() -> Page:
    """Send another verification mail; the answer is the same for every address."""
    form = AddressForm()
    if not form.validate_on_submit():
        return render_template("accounts/request_verification.html", form=form), 422 if form.is_submitted() else 200
    if not form.is_pressed_again:
        send(services.request_verification(form.address, language=str(get_locale())))
    return _mail_is_on_its_way(form, "sign_up_sent")


@bp.get("/verify/<token>")
@public
def verify(token: str) -> Page:
    """Ask for the press of a button: what only reads a link, like a mail scanner, verifies nothing."""
    opened = open_link(token, LinkPurpose.VERIFY)
    if opened.link and opened.link.user.verified_at:
        opened = OpenedLink(LinkState.USED, opened.link)
    return render_template("accounts/verify.html", opened=opened, token=token), LINK_STATUS[opened.state]


@bp.post("/verify/<token>")
@public
def use_verification(token: str) -> Page:
    """Verify the address."""
    try:
        services.verify_address(token)
    except LinkNotReady:
        return verify(token)
    flash(_("Your address is confirmed. You can log in now."), "ok")
    return go_to("login")


@bp.post("/verify/<token>/renew")
@public
@limit_mails
def renew_verification(token: str) -> Page:
    """Send a new link to the person whose link has expired."""
    opened = open_link(token, LinkPurpose.VERIFY)
    if opened.link is None:
        return verify(token)
    mail_id = services.request_verification_again(opened.link.user, language=str(get_locale()))
    send(mail_id)
    session["mail_sent_to"] = opened.link.user.email
    return go_to("sign_up_sent")


@bp.route("/password/forgot", methods=["GET", "POST"])
@public
@limit_mails
def forgot_password() -> Page:
    """Take an address and mail a link to choose a new password; the answer is the same for every address."""
    form = AddressForm()
    if not form.validate_on_submit():
        return render_template("accounts/forgot.html", form=form), 422 if form.is_submitted() else 200
    if not form.is_pressed_again:
        send(services.request_reset(form.address, language=str(get_locale())))
    return _mail_is_on_its_way(form, "reset_sent")


@bp.get("/password/forgot/sent")
@public
def reset_sent() -> str:
    """Say that a mail is on its way, if there is somebody to get it."""
    return render_template("accounts/reset_sent.html", address=session.get("mail_sent_to", ""))


@bp.route("/password/reset/<token>", methods=["GET", "POST"])
@public
def reset_password(token: str) -> Page:
    """Show the form for a new password, and set it."""
    opened = open_link(token, LinkPurpose.RESET)
    user = opened.link.user if opened.link else None
    form = ResetForm(known_words=[user.email, user.name] if user else [])
    if opened.state is LinkState.READY and form.validate_on_submit():
        try:
            send(services.reset_password(token, text_of(form.password)))
        except LinkNotReady as not_ready:
            opened = OpenedLink(not_ready.state, opened.link)
        else:
            flash(_("Your new password is set. Every earlier log-in has been ended."), "ok")
            return go_to("login")
    status = 422 if form.errors else LINK_STATUS[opened.state]
    return render_template("accounts/reset.html", opened=opened, user=user, form=form), status


def _mail_is_on_its_way(form: AddressForm | SignUpForm, page: str) -> Response:
    session["mail_sent_to"] = form.address.email
    return go_to(page)
