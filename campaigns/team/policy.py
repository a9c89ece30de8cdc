"""Who may do what to whom in the team: up to one's own role, and owners only by owners. Pure."""

from __future__ import annotations

from campaigns.accounts.models import User
from campaigns.security import Right, Role, is_at_least


def may_handle(actor: User | None, role: str | None) -> bool:
    """Tell whether `actor` may change somebody who has this role, or give it; None is the command line, which may."""
    if actor is None:
        return True
    needed = Right.MANAGE_SITE if role == Role.OWNER else Right.MANAGE_TEAM
    return actor.deactivated_at is None and actor.may(needed) and (role is None or is_at_least(str(actor.role), role))


def roles_to_give(actor: User) -> list[Role]:
    """Return the roles that `actor` may give, the highest first."""
    return [role for role in Role if may_handle(actor, role)]
