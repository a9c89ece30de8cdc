"""What roles and rights let people do, in words."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

from campaigns.security import Right, Role

ROLE_SENTENCES: dict[Role, Any] = {
    Role.OWNER: _l("Owner: may do everything"),
    Role.ADMIN: _l("Admin: also manages people and jobs"),
    Role.SENDER: _l("Sender: also launches and sees addresses"),
    Role.EDITOR: _l("Editor: also writes and tests"),
    Role.VIEWER: _l("Viewer: sees campaigns and reports"),
}
RIGHT_WORDS: dict[Right, Any] = {
    Right.VIEW: _l("See campaigns, reports and the dashboard"),
    Right.WRITE: _l("Write campaigns and send tests"),
    Right.LAUNCH: _l("Launch, pause, resume and cancel campaigns"),
    Right.SEE_USERS: _l("See people and their addresses in full"),
    Right.MANAGE_USERS: _l("Import, change and delete people"),
    Right.SEE_JOBS: _l("See the jobs page"),
    Right.MANAGE_JOBS: _l("Run failed tasks again"),
    Right.SEE_TEAM: _l("See who is in the team"),
    Right.MANAGE_TEAM: _l("Invite people, change roles up to one’s own, deactivate"),
    Right.SEE_AUDIT: _l("See the activity log"),
    Right.MANAGE_SITE: _l("Change settings, make and change owners"),
}
