"""The list of people, one person's page, and what is done with them."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from campaigns.accounts.models import User
from campaigns.accounts.services import choose_announcements

# Imported so that its pages hang on the blueprint too.
from campaigns.audience import queries, services, unsubscribe_routes
from campaigns.audience.blueprint import bp
from campaigns.audience.forms import DeleteForm, NewPersonForm, PersonForm, ResumeForm, SuppressForm
from campaigns.audience.models import SuppressionReason
from campaigns.audience.people_list import Search, list_users
from campaigns.audience.queries import UserState
from campaigns.audit.services import Target, person_target, record_view
from campaigns.errors import UserError
from campaigns.security import Right, can, requires

__all__ = ["bp", "unsubscribe_routes"]

Page = str | tuple[str, int] | Response


@bp.get("/users", endpoint="list_users")
@requires(Right.VIEW)
def show_list() -> str:
    """Show the people of a tab who match the search; addresses are masked for those who may not see them."""
    if can(Right.SEE_USERS):
        record_view("user.listed", Target("user"))
    state, search = _asked_state(), _asked_search()
    page = list_users(
        state,
        search,
        before=request.args.get("before", type=int),
        after=request.args.get("after", type=int),
    )
    return render_template(
        "audience/list.html",
        page=page,
        state=state,
        search=search,
        counts=queries.count_users(),
        only_staff=queries.only_staff_is_here(),
    )


@bp.route("/users/new", methods=["GET", "POST"])
@requires(Right.MANAGE_USERS)
def add_user() -> Page:
    """Add one person."""
    form = NewPersonForm()
    if not form.validate_on_submit():
        return render_template("audience/new.html", form=form), 422 if form.is_submitted() else 200
    try:
        user_id = services.add_user(
            form.address, name=form.name.data or "", language=form.language.data or None, receives=form.agreed.data
        )
    except services.AddressTaken as taken:
        form.email.errors = [taken.message]
        return render_template("audience/new.html", form=form, taken_by=taken.user_id), 422
    flash(_("The user has been added."), "ok")
    return _go_to_user(user_id)


@bp.get("/users/<int:user_id>")
@requires(Right.SEE_USERS)
def show_user(user_id: int) -> str:
    """Show what is known of a person, and whether they get announcements."""
    user = queries.get_user(user_id)
    record_view("user.seen", person_target(user.id, user.email, role=user.role))
    return _user_page(user)


@bp.post("/users/<int:user_id>")
@requires(Right.MANAGE_USERS)
def save_user(user_id: int) -> Page:
    """Save name and language."""
    user, form = queries.get_user(user_id), PersonForm()
    if not form.validate():
        return _user_page(user, person=form), 422
    services.update_user(user_id, name=form.name.data or "", language=form.language.data or None)
    flash(_("Saved."), "ok")
    return _go_to_user(user_id)


@bp.post("/users/<int:user_id>/unsubscribe")
@requires(Right.MANAGE_USERS)
def unsubscribe_user(user_id: int) -> Page:
    """Note that a person wants no announcements, as they said in some other way than by the link."""
    queries.get_user(user_id)
    choose_announcements(user_id, wanted=False, for_them=True)
    flash(_("Unsubscribed. Campaigns that are being sent skip this person too."), "ok")
    return _go_to_user(user_id)


@bp.post("/users/<int:user_id>/resume")
@requires(Right.MANAGE_USERS)
def resume_user(user_id: int) -> Page:
    """Let a person who had unsubscribed receive again, because they asked for it."""
    user, form = queries.get_user(user_id), ResumeForm()
    if not form.validate():
        return _user_page(user, resume=form), 422
    choose_announcements(user_id, wanted=True, for_them=True)
    flash(_("The unsubscription has been taken back."), "ok")
    return _go_to_user(user_id)


@bp.post("/users/<int:user_id>/suppress")
@requires(Right.MANAGE_USERS)
def suppress_user(user_id: int) -> Page:
    """Put a person's address on the suppression list."""
    user, form = queries.get_user(user_id), SuppressForm()
    if not form.validate():
        return _user_page(user, suppress=form), 422
    services.suppress_user(user_id, SuppressionReason(form.reason.data), detail=form.detail.data or "")
    flash(_("The address is on the suppression list. Nothing is sent to it any more."), "ok")
    return _go_to_user(user_id)


@bp.post("/users/<int:user_id>/lift")
@requires(Right.MANAGE_USERS)
def lift_suppression(user_id: int) -> Page:
    """Take a person's address off the suppression list."""
    services.lift_suppression(user_id)
    flash(_("The address is off the suppression list."), "ok")
    return _go_to_user(user_id)


@bp.route("/users/<int:user_id>/delete", methods=["GET", "POST"])
@requires(Right.MANAGE_USERS)
def delete_user(user_id: int) -> Page:
    """Ask, and then delete a person for good."""
    user = queries.get_user(user_id)
    record_view("user.seen", person_target(user.id, user.email, role=user.role))
    form = DeleteForm(data={"keep_out": user.unsubscribed_at is not None})
    suppression = queries.find_suppression(user.address_key)
    if not form.validate_on_submit():
        status = 422 if form.is_submitted() else 200
        return render_template("audience/delete.html", user=user, form=form, suppression=suppression), status
    try:
        services.delete_user(user_id, keep_out=form.keep_out.data)
    except UserError as error:
        form.form_errors.append(error.message)
        return render_template("audience/delete.html", user=user, form=form, suppression=suppression), 422
    flash(_("The user has been deleted."), "ok")
    return redirect(url_for("audience.list_users"), code=303)


def _user_page(user: User, **forms: Any) -> str:
    """Show a person; `forms` holds the form that was refused, the others start from what is saved."""
    suppression = queries.find_suppression(user.address_key)
    fresh = {
        "person": PersonForm(formdata=None, data={"name": user.name, "language": user.language or ""}),
        "suppress": SuppressForm(formdata=None),
        "resume": ResumeForm(formdata=None),
    }
    return render_template(
        "audience/user.html",
        user=user,
        state=queries.state_of(user, suppression),
        suppression=suppression,
        form=next(iter(forms.values()), None),
        **{**fresh, **forms},
    )


def _asked_state() -> UserState | None:
    asked = request.args.get("state", "")
    return UserState(asked) if asked in set(UserState) else None


def _asked_search() -> Search:
    return Search(
        request.args.get("q", ""),
        everywhere=request.args.get("where") == "everywhere",
        sees_addresses=can(Right.SEE_USERS),
    )


def _go_to_user(user_id: int) -> Response:
    return redirect(url_for("audience.show_user", user_id=user_id), code=303)
