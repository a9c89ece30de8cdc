"""The first visit."""

from __future__ import annotations

from flask import abort, flash, redirect, render_template, request
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.accounts.addresses import parse_address
from campaigns.accounts.blueprint import bp, start_session, this_visitor
from campaigns.accounts.field_checks import text_of
from campaigns.accounts.forms import SetupForm
from campaigns.accounts.limits import limit_guesses, note_failure
from campaigns.accounts.queries import somebody_has_a_role
from campaigns.accounts.setup import FirstOwner, SiteDetails, forget_setup_token, setup_token
from campaigns.accounts.setup import set_up as make_owner_and_site
from campaigns.config import current_settings
from campaigns.errors import Conflict
from campaigns.security import public
from campaigns.site import current_site


@bp.route("/setup", methods=["GET", "POST"])
@public
@limit_guesses
def set_up() -> str | tuple[str, int] | Response:
    """Make the owner and the site; only while nobody has a role, and only with the code from the terminal."""
    if somebody_has_a_role():
        abort(404)
    form = _form()
    if not form.validate_on_submit():
        if form.token.errors:
            note_failure()
        return render_template("accounts/setup.html", form=form), 422 if form.is_submitted() else 200
    try:
        owner = make_owner_and_site(_owner_of(form), _site_of(form), visitor=this_visitor())
    except Conflict as conflict:
        form.form_errors.append(conflict.message)
        return render_template("accounts/setup.html", form=form), conflict.status_code
    forget_setup_token(current_settings().instance_dir)
    start_session(owner, remember=False)
    flash(_("%(site)s is ready.", site=text_of(form.site_name)), "ok")
    return redirect("/", code=303)


def _form() -> SetupForm:
    site = current_site()
    known = {"language": str(get_locale()), "timezone": site.timezone, "token": request.args.get("token", "")}
    return SetupForm(expected_token=setup_token(current_settings().instance_dir), data=known)


def _owner_of(form: SetupForm) -> FirstOwner:
    return FirstOwner(address=form.address, password=text_of(form.password), name=text_of(form.name))


def _site_of(form: SetupForm) -> SiteDetails:
    return SiteDetails(
        name=text_of(form.site_name),
        language=text_of(form.language),
        timezone=text_of(form.timezone),
        sender_name=text_of(form.sender_name) or text_of(form.site_name),
        sender_address=parse_address(text_of(form.sender_address)).email,
        postal_address=text_of(form.postal_address),
    )
