"""What the settings need a person for, on the dashboard."""

from __future__ import annotations

from collections.abc import Iterable

from flask import url_for
from flask_babel import gettext as _

from campaigns.reports.attention import Attention, attention_source
from campaigns.security import Right
from campaigns.settings.queries import servers_without_password


@attention_source
def lost_passwords() -> Iterable[Attention]:
    """Say whose password cannot be decrypted any more: nothing goes out over that server."""
    if names := servers_without_password():
        yield Attention(
            kind="bad",
            text=_("The password of a mail server cannot be read any more: %(names)s", names=", ".join(names)),
            detail=_(
                "It was stored with another SECRET_KEY. Type it again, or put the old key into SECRET_KEY_FALLBACKS."
            ),
            url=url_for("settings.mail_servers"),
            right=Right.MANAGE_SITE,
        )
