"""What was before and after an entry's deed, as a person reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from campaigns.audit.models import AuditEntry
from campaigns.presentation import NOTHING, format_number
from campaigns.role_words import role_word
from campaigns.security import Role

FIELDS: Final[dict[str, Any]] = {
    "subject": _l("Subject"),
    "preheader": _l("Preview text"),
    "sender_name": _l("Sender’s name"),
    "reply_to": _l("Reply-to"),
    "language": _l("Language"),
    "body_characters": _l("Length of the text, characters"),
    "copy_of": _l("Copy of campaign"),
    "addresses": _l("Addresses"),
    "as_user": _l("As seen by user"),
    "hold_seconds": _l("Hold, seconds"),
    "scheduled_at": _l("Time"),
    "zone": _l("Time zone"),
    "rule": _l("Rule"),
    "date": _l("Day"),
    "content_sha256": _l("SHA-256 of what was sent"),
    "reason": _l("Reason"),
    "people": _l("People"),
    "position": _l("Number in the campaign"),
    "person": _l("Person"),
    "campaigns_paused": _l("Campaigns paused"),
    "name": _l("Name"),
    "email": _l("Address"),
    "role": _l("Role"),
    "receives": _l("Receives announcements"),
    "keep_out": _l("Kept out of later imports"),
    "note": _l("Note"),
    "timezone": _l("Time zone"),
    "added": _l("Added"),
    "updated": _l("Updated"),
    "unchanged": _l("Unchanged"),
    "bad": _l("Rejected"),
    "error": _l("Error"),
    "rows": _l("Rows"),
    "state": _l("State"),
    "task": _l("Task"),
    "arguments": _l("Arguments"),
    "tried_at": _l("Tried at"),
    "device": _l("Device"),
    "filters": _l("Filters"),
    "sequence": _l("Through entry"),
    "hash": _l("Hash"),
    "entries": _l("Entries"),
}
COUNTS: Final = {
    "rows", "people", "added", "updated", "unchanged", "bad", "entries", "body_characters", "campaigns_paused",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One line: what it is, how it was and how it is; `before` is None for what has no past."""

    label: str
    before: str | None
    after: str | None


def changes_of(entry: AuditEntry) -> list[Change]:
    """Return what an entry holds, line by line, in the order in which it was written down."""
    names = [*entry.before, *(name for name in entry.after if name not in entry.before)]
    return [
        Change(
            label=field_words(name),
            before=value_words(name, entry.before[name]) if name in entry.before else None,
            after=value_words(name, entry.after[name]) if name in entry.after else None,
        )
        for name in sorted(names, key=_known_order)
    ]


def field_words(name: str) -> str:
    """Return what a value is called; its own name with spaces for one that has no words here."""
    return str(FIELDS.get(name) or name.replace("_", " "))


def value_words(name: str, value: Any) -> str:
    """Return a value as text."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if isinstance(value, int) and name in COUNTS:
        return format_number(value)
    if name == "role" and value in set(Role):
        return role_word(value)
    if isinstance(value, list):
        return ", ".join(value_words(name, each) for each in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _known_order(name: str) -> int:
    """JSONB keeps no order of its own."""
    return list(FIELDS).index(name) if name in FIELDS else len(FIELDS)
