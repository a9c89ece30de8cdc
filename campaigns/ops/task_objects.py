"""What a task is about, in words a person knows: the campaign's title, the import's file, the kind of mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask_babel import gettext as _

from campaigns.audience.models import UserImport
from campaigns.compose.models import Campaign
from campaigns.compose.titles import campaign_title
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.models import OutboxMail

# Tasks whose first argument is the id of one of these, by how their names begin.
_CAMPAIGN = "delivery."
_IMPORT = ("audience.check_import", "audience.save_import", "audience.report_import")
_MAIL = "mail.send_mail"


@dataclass(frozen=True)
class TaskObject:
    """What something is about: words, and the page that shows it (an endpoint and its values; empty for none)."""

    text: str = ""
    endpoint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values_key(self) -> tuple[object, ...]:
        """Return what is the same for two texts about one thing; empty for what has no page."""
        return (self.endpoint, *sorted(self.values.items())) if self.endpoint else ()

    @property
    def url(self) -> str:
        """Return the full address of its page, for a mail or a command's answer; empty when it has none."""
        return public_url(self.endpoint, **self.values) if self.endpoint else ""


def object_of(name: str, args: Sequence[Any]) -> TaskObject:
    """Return what a task with these arguments is about; empty for one that is about nothing in particular."""
    first = args[0] if args else None
    if not isinstance(first, int):
        return TaskObject()
    if name.startswith(_CAMPAIGN):
        batch = args[1] if name == "delivery.send_batch" and len(args) > 1 else None
        return campaign_object(first, batch=batch)
    if name in _IMPORT:
        return import_object(first)
    return mail_object(first) if name == _MAIL else TaskObject()


def campaign_object(campaign_id: int, *, batch: int | None = None) -> TaskObject:
    """Return a campaign's title, with the number of a batch, and where its progress is shown."""
    campaign = db.session.get(Campaign, campaign_id)
    if campaign is None:
        return TaskObject(_("Campaign %(number)s, deleted", number=campaign_id))
    title = campaign_title(campaign)
    text = title if batch is None else _("%(title)s, batch %(number)s", title=title, number=batch)
    return TaskObject(text, "reports.progress", {"campaign_id": campaign_id})


def import_object(import_id: int) -> TaskObject:
    """Return an import's file name, and where it is shown."""
    each = db.session.get(UserImport, import_id)
    if each is None:
        return TaskObject(_("Import %(number)s, deleted", number=import_id))
    return TaskObject(each.file_name, "audience.show_import", {"import_id": import_id})


def mail_object(mail_id: int) -> TaskObject:
    """Return what kind a single mail is, never to whom."""
    mail = db.session.get(OutboxMail, mail_id)
    return TaskObject(_("Mail %(number)s, deleted", number=mail_id) if mail is None else mail_words(mail.kind))


def mail_words(kind: str) -> str:
    """Return a kind of single mail in words; its own name for one that has none here."""
    words = {
        "sign_up_received": _("Answer to a sign-up"),
        "verification_requested": _("Link to confirm an address"),
        "verification_reminder": _("Reminder to confirm an address"),
        "reset_requested": _("Link to choose a password"),
        "password_changed": _("Password changed"),
        "two_step_changed": _("Two-step log-in changed"),
        "address_change_asked": _("Link to confirm a new address"),
        "address_changed": _("Address changed"),
        "team_invitation": _("Invitation to the team"),
        "approval_asked": _("Request for an approval"),
        "approval_decided": _("Answer to a request for approval"),
        "reopening_decided": _("Answer to a request for approval"),
        "digest": _("Summary for the team"),
        "test": _("Test of a campaign"),
        "failure_notice": _("Notice that tasks fail"),
    }
    return str(words.get(kind, kind))
