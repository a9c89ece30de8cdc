"""The team: who is in it, what each role may do, and one member's page."""

from __future__ import annotations

from flask import flash, render_template
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from campaigns.accounts.devices import describe_device
from campaigns.accounts.logins import end_login as end_one_login
from campaigns.accounts.queries import list_logins
from campaigns.errors import UserError
from campaigns.security import ROLE_RIGHTS, Right, Role, can, requires

# Imported so that their pages and mails hang on too.
from campaigns.team import invitation_routes, mails, services
from campaigns.team.blueprint import bp, go_to, send
from campaigns.team.forms import MemberRoleForm
from campaigns.team.invitations import list_invitations
from campaigns.team.policy import may_handle, roles_to_give
from campaigns.team.queries import find_member, list_members
from campaigns.team.words import RIGHT_WORDS

__all__ = ["bp", "invitation_routes", "mails"]

Page = str | tuple[str, int] | Response


@bp.get("/team", endpoint="list_members")
@requires(Right.SEE_TEAM)
def show_list() -> str:
    """Show who has a role, and who is invited."""
    invitations = list_invitations() if can(Right.MANAGE_TEAM) else []
    return render_template(
        "team/list.html",
        members=list_members(),
        invitations=[(each, state, may_handle(current_user, each.role)) for each, state in invitations],
    )


@bp.get("/team/roles")
@requires(Right.SEE_TEAM)
def show_roles() -> str:
    """Show what each role may do."""
    rights = [(words, [right in ROLE_RIGHTS[role] for role in Role]) for right, words in RIGHT_WORDS.items()]
    return render_template("team/roles.html", roles=list(Role), rights=rights)


@bp.get("/team/<int:user_id>")
@requires(Right.SEE_TEAM)
def show_member(user_id: int) -> str:
    """Show one member, and to those who may, what they can change."""
    return _member_page(user_id)


@bp.post("/team/<int:user_id>/role")
@requires(Right.MANAGE_TEAM)
def change_member_role(user_id: int) -> Page:
    """Give a member another role, or take it away."""
    find_member(user_id)
    form = MemberRoleForm(roles=roles_to_give(current_user))
    if not form.validate():
        return _member_page(user_id, role=form), 422
    try:
        services.change_role(user_id, form.chosen, by=current_user)
    except UserError as error:
        if error.status_code != 422:
            raise
        form.role.errors = [error.message]
        return _member_page(user_id, role=form), 422
    flash(_("The role has been changed. This person has to log in again."), "ok")
    return go_to("show_member", user_id=user_id) if form.chosen else go_to("list_members")


@bp.post("/team/<int:user_id>/deactivate")
@requires(Right.MANAGE_TEAM)
def deactivate_member(user_id: int) -> Page:
    """Keep a member from logging in."""
    find_member(user_id)
    services.deactivate(user_id, by=current_user)
    flash(_("Deactivated. Every log-in of this person has ended."), "ok")
    return go_to("show_member", user_id=user_id)


@bp.post("/team/<int:user_id>/reactivate")
@requires(Right.MANAGE_TEAM)
def reactivate_member(user_id: int) -> Page:
    """Let a member log in again."""
    find_member(user_id)
    services.reactivate(user_id, by=current_user)
    flash(_("Reactivated. This person can log in again."), "ok")
    return go_to("show_member", user_id=user_id)


@bp.post("/team/<int:user_id>/logins/<int:login_id>/end")
@requires(Right.MANAGE_TEAM)
def end_login(user_id: int, login_id: int) -> Page:
    """End one log-in of a member."""
    find_member(user_id)
    services.check_may_handle(user_id, by=current_user)
    end_one_login(user_id, login_id)
    flash(_("The log-in has been ended."), "ok")
    return go_to("show_member", user_id=user_id)


@bp.post("/team/<int:user_id>/logins/end-all")
@requires(Right.MANAGE_TEAM)
def end_all_logins(user_id: int) -> Page:
    """End every log-in of a member."""
    find_member(user_id)
    services.end_logins(user_id, by=current_user)
    flash(_("Every log-in of this person has been ended."), "ok")
    return go_to("show_member", user_id=user_id)


@bp.post("/team/<int:user_id>/two-step/remove")
@requires(Right.MANAGE_SITE)
def remove_two_step(user_id: int) -> Page:
    """Take away the second step of a member who has lost app and recovery codes."""
    find_member(user_id)
    send(services.remove_two_step(user_id, by=current_user))
    flash(_("Two-step log-in has been turned off for this person. A mail tells them."), "ok")
    return go_to("show_member", user_id=user_id)


def _member_page(user_id: int, *, role: MemberRoleForm | None = None) -> str:
    member = find_member(user_id)
    handles = may_handle(current_user, member.role)
    return render_template(
        "team/member.html",
        member=member,
        handles=handles,
        form=role,
        role=role or MemberRoleForm(formdata=None, roles=roles_to_give(current_user), data={"role": member.role}),
        logins=[(login, describe_device(login.device)) for login in list_logins(user_id)] if handles else [],
    )
