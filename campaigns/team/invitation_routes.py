"""Asking people into the team, and the page that the link in the mail opens."""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts.limits import limit_mails
from campaigns.audit.services import person_target, record_view
from campaigns.errors import Conflict
from campaigns.security import Right, public, requires
from campaigns.team import invitations
from campaigns.team.blueprint import bp, go_to, send
from campaigns.team.forms import AcceptForm, AcceptWithPasswordForm, InviteForm
from campaigns.team.invitations import InvitationState, OpenedInvitation
from campaigns.team.policy import roles_to_give
from campaigns.team.queries import find_person

Page = str | tuple[str, int] | Response

# What a page about a link answers with: used up is no fault of the visitor's.
LINK_STATUS = {
    InvitationState.READY: 200,
    InvitationState.USED: 200,
    InvitationState.EXPIRED: 410,
    InvitationState.UNKNOWN: 404,
}


@bp.route("/team/invite", methods=["GET", "POST"])
@requires(Right.MANAGE_TEAM)
@limit_mails
def invite() -> Page:
    """Show the form, and mail an invitation."""
    form = InviteForm(roles=roles_to_give(current_user), data=_asked_person())
    if not form.validate_on_submit():
        return render_template("team/invite.html", form=form), 422 if form.is_submitted() else 200
    try:
        mail_id = invitations.invite(
            form.address,
            form.chosen,
            name=form.name.data or "",
            language=str(form.language.data),
            by=current_user,
        )
    except Conflict as error:
        form.email.errors = [error.message]
        return render_template("team/invite.html", form=form), 422
    send(mail_id)
    flash(_("The invitation is on its way. The link in it works for 7 days."), "ok")
    return go_to("list_members")


def _asked_person() -> dict[str, str]:
    """Return what the form begins with: the person by whose page somebody came, by id: addresses stay out of links."""
    user_id, language = request.args.get("user", type=int), str(get_locale())
    if user_id is None:
        return {"language": language}
    user = find_person(user_id)
    record_view("user.seen", person_target(user.id, user.email, role=user.role))
    return {"email": user.email, "name": user.name, "language": user.language or language}


@bp.post("/team/invitations/<int:invitation_id>/resend")
@requires(Right.MANAGE_TEAM)
@limit_mails
def resend_invitation(invitation_id: int) -> Response:
    """Mail an invitation again, with a new link."""
    send(invitations.resend(invitation_id, by=current_user))
    flash(_("The invitation has been sent again. Only the newest link works."), "ok")
    return go_to("list_members")


@bp.post("/team/invitations/<int:invitation_id>/cancel")
@requires(Right.MANAGE_TEAM)
def cancel_invitation(invitation_id: int) -> Response:
    """Take an invitation back."""
    invitations.cancel(invitation_id, by=current_user)
    flash(_("The invitation has been cancelled. Its link no longer works."), "ok")
    return go_to("list_members")


@bp.get("/invite/<token>")
@public
def show_invitation(token: str) -> Page:
    """Say who asks, and wait for the press of a button: what only reads a link accepts nothing."""
    opened = invitations.open_invitation(token)
    return _invitation_page(opened, _accept_form(opened)), LINK_STATUS[opened.state]


@bp.post("/invite/<token>")
@public
def accept_invitation(token: str) -> Page:
    """Accept the invitation, with a password for people who have none."""
    opened = invitations.open_invitation(token)
    form = _accept_form(opened)
    if opened.state is not InvitationState.READY:
        return _invitation_page(opened, form), LINK_STATUS[opened.state]
    if not form.validate():
        return _invitation_page(opened, form), 422
    password = form.password.data if isinstance(form, AcceptWithPasswordForm) else None
    try:
        invitations.accept(token, password=password)
    except Conflict:
        return show_invitation(token)
    flash(_("You are in the team now. Log in to begin."), "ok")
    return redirect(url_for("accounts.login"), code=303)


def _accept_form(opened: OpenedInvitation) -> AcceptForm | AcceptWithPasswordForm:
    invitation = opened.invitation
    if opened.state is InvitationState.READY and invitation and invitations.needs_password(invitation):
        return AcceptWithPasswordForm(known_words=[invitation.email, invitation.name])
    return AcceptForm()


def _invitation_page(opened: OpenedInvitation, form: AcceptForm | AcceptWithPasswordForm) -> str:
    return render_template("team/invitation.html", opened=opened, form=form)
