"""The mails of the team."""

from __future__ import annotations

from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.mail.single import render_single_mail
from campaigns.role_words import role_word
from campaigns.team.invitations import InvitationState, state_of, token_of
from campaigns.team.models import Invitation


@mail_kind("team_invitation")
def ask_into_the_team(mail: OutboxMail) -> MailContent | None:
    """Who asks, into which role, and the newest link; nothing once the invitation is used, cancelled or too old."""
    invitation = db.session.get(Invitation, mail.context["invitation_id"])
    if invitation is None or invitation.invited_by is None or state_of(invitation) is not InvitationState.READY:
        return None
    return render_single_mail(
        "team/invitation",
        inviter=invitation.invited_by.name or invitation.invited_by.email,
        role=role_word(invitation.role),
        url=public_url("team.show_invitation", token=token_of(invitation)),
    )
