"""Roles in words."""

from __future__ import annotations

from typing import Any, Final

from flask_babel import lazy_gettext as _l

from campaigns.security import Role

ROLE_WORDS: Final[dict[Role, Any]] = {
    Role.OWNER: _l("Owner"),
    Role.ADMIN: _l("Admin"),
    Role.SENDER: _l("Sender"),
    Role.EDITOR: _l("Editor"),
    Role.VIEWER: _l("Viewer"),
}


def role_word(role: str | None) -> str:
    """Return a role's name; "No role" for none."""
    return str(ROLE_WORDS[Role(role)] if role else _l("No role"))
