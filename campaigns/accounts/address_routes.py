"""Changing the address of one's own account."""

from __future__ import annotations

from flask import flash, render_template
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts import address_change
from campaigns.accounts.account_links import LinkState, OpenedLink, open_link
from campaigns.accounts.blueprint import LINK_STATUS, bp, go_to, send
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.forms import ChangeAddressForm
from campaigns.accounts.limits import limit_guesses, limit_mails, note_failure
from campaigns.accounts.models import LinkPurpose
from campaigns.accounts.sign_up import LinkNotReady
from campaigns.errors import UserError
from campaigns.security import own_account, public

Page = str | tuple[str, int] | Response


@bp.route("/account/address", methods=["GET", "POST"])
@own_account
@limit_mails
@limit_guesses
def change_address() -> Page:
    """Mail a link to the new address; the answer is the same whether somebody has it."""
    form = ChangeAddressForm(own_key=current_user.address_key)
    if not form.validate_on_submit():
        return render_template("accounts/address.html", form=form), 422 if form.is_submitted() else 200
    try:
        mail_id = address_change.ask_for_address(current_user.id, form.address, password=text_of(form.password))
    except UserError as error:
        note_failure()
        form.password.errors = [error.message]
        return render_template("accounts/address.html", form=form), 422
    send(mail_id)
    address = form.address.email
    flash(_("A mail is on its way to %(address)s. The address changes with the link in it.", address=address), "ok")
    return go_to("account")


@bp.get("/account/address/<token>")
@public
def confirm_address(token: str) -> Page:
    """Ask for the press of a button: what only reads a link, like a mail scanner, changes nothing."""
    return _link_page(open_link(token, LinkPurpose.ADDRESS), token)


@bp.post("/account/address/<token>")
@public
def use_address_link(token: str) -> Page:
    """Change the address."""
    try:
        send(address_change.change_address(token))
    except LinkNotReady as not_ready:
        return _link_page(OpenedLink(not_ready.state, None), token)
    flash(_("The address of your account has been changed. From now on you log in with the new one."), "ok")
    return go_to("account" if current_user.is_authenticated else "login")


def _link_page(opened: OpenedLink, token: str) -> Page:
    state = opened.state if opened.link or opened.state is not LinkState.READY else LinkState.UNKNOWN
    return render_template("accounts/address_link.html", state=state, link=opened.link, token=token), LINK_STATUS[state]
