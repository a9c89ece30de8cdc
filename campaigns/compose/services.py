"""What changes campaigns before they are launched. Each function is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from flask_babel import gettext as _
from sqlalchemy import Delete, Update, delete, update

from campaigns.audit.services import mask, record_action, record_once, what_changed
from campaigns.clock import utcnow
from campaigns.compose.models import FINAL_STATES, Campaign, CampaignState
from campaigns.compose.queries import campaign_target, get_campaign, target_of
from campaigns.config import current_settings
from campaigns.errors import Conflict
from campaigns.extensions import db
from campaigns.mail.services import queue_mail
from campaigns.site import current_site, default_sender

TEST_MAIL_LIFETIME: Final = timedelta(hours=1)
MOST_TEST_ADDRESSES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the composer's form holds."""

    subject: str
    preheader: str
    sender_name: str
    reply_to: str
    language: str
    body: str
    tracks_opens: bool = False
    tracks_clicks: bool = False


@dataclass(frozen=True, slots=True)
class QueuedTest:
    """The outbox rows of one test: `group_key` finds them again, `mail_ids` are to be enqueued."""

    group_key: str
    mail_ids: tuple[int, ...]


class DraftConflict(Conflict):
    """Somebody saved in between; `latest` is the campaign as they left it."""

    def __init__(self, message: str, latest: Campaign) -> None:
        super().__init__(message)
        self.latest = latest


def create_campaign(*, created_by_id: int | None, draft: Draft | None = None, copy_of: int | None = None) -> int:
    """Add a draft, empty unless one is given, with what is usual here; return its id. Commits."""
    values = asdict(draft) if draft else _usual_values()
    campaign = Campaign(created_by_id=created_by_id, **values)
    db.session.add(campaign)
    db.session.flush()
    record_action("campaign.created", target_of(campaign), after={"copy_of": copy_of} if copy_of else None)
    db.session.commit()
    return campaign.id


def usual_tracking() -> dict[str, bool]:
    """Return what a new campaign tells of, as the owner's settings have it now: fields of a draft."""
    settings = current_settings()
    return {"tracks_opens": settings.track_opens, "tracks_clicks": settings.track_clicks}


def add_copy(campaign: Campaign, *, created_by_id: int | None) -> Campaign:
    """Add a draft with the same content, with its id, as one step of a transaction. Commits nothing."""
    copy = Campaign(created_by_id=created_by_id, **asdict(_draft_of(campaign)))
    db.session.add(copy)
    db.session.flush()
    return copy


def save_draft(campaign_id: int, draft: Draft, *, version: int) -> int:
    """Save a draft that was read at `version`; return its new version. Commits.

    Saving what is already there changes nothing, so a repeated request is harmless. Raises NotFound, DraftConflict
    when another save came first, and Conflict when the campaign has been launched.
    """
    campaign = get_campaign(campaign_id)
    before = _draft_of(campaign)
    if campaign.is_editable and before == draft:
        return campaign.version
    saved = _run(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state == CampaignState.DRAFT, Campaign.version == version)
        .values(**asdict(draft), version=version + 1, updated_at=utcnow())
    )
    if saved:
        _record_edit(campaign_id, before, draft)
    db.session.commit()
    if not saved:
        _explain_refusal(campaign_id)
    return version + 1


def duplicate_campaign(campaign_id: int, *, created_by_id: int | None) -> int:
    """Add a draft with the same content as a campaign in any state; return its id. Commits. Raises NotFound."""
    draft = _draft_of(get_campaign(campaign_id))
    return create_campaign(created_by_id=created_by_id, draft=draft, copy_of=campaign_id)


def delete_draft(campaign_id: int) -> None:
    """Delete a draft for good. Commits. Raises NotFound, and Conflict when it is no draft any more or is repeated."""
    campaign = get_campaign(campaign_id)
    target, is_repeated = target_of(campaign), campaign.is_repeated
    of_use = Campaign.state == CampaignState.DRAFT, Campaign.is_repeated.is_(False)
    deleted = _run(delete(Campaign).where(Campaign.id == campaign_id, *of_use))
    if deleted:
        record_action("campaign.deleted", target)
    db.session.commit()
    if not deleted and is_repeated:
        raise Conflict(_("Copies of this campaign are sent on a schedule. End the repetition first."))
    if not deleted:
        raise Conflict(_("Only drafts can be deleted. This campaign has been launched."))


def archive_campaign(campaign_id: int) -> None:
    """Put a finished campaign out of the list. Commits; a repeat is harmless. Raises NotFound and Conflict."""
    campaign = get_campaign(campaign_id)
    target, was_archived = target_of(campaign), campaign.archived_at is not None
    archived = _run(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.state.in_(FINAL_STATES))
        .values(archived_at=utcnow())
    )
    if archived and not was_archived:
        record_action("campaign.archived", target)
    db.session.commit()
    if not archived:
        raise Conflict(_("Only campaigns that have ended can be archived."))


def unarchive_campaign(campaign_id: int) -> None:
    """Put an archived campaign back into the list. Commits; a repeat is harmless. Raises NotFound."""
    target = target_of(get_campaign(campaign_id))
    is_archived = Campaign.archived_at.is_not(None)
    if _run(update(Campaign).where(Campaign.id == campaign_id, is_archived).values(archived_at=None)):
        record_action("campaign.unarchived", target)
    db.session.commit()


def queue_test_mails(campaign_id: int, addresses: Sequence[str], *, as_user_id: int | None = None) -> QueuedTest:
    """Put a test mail for each address into the outbox and remember that this version was tested. Commits.

    The edge enqueues `mail_ids` afterwards. Raises NotFound.
    """
    campaign = get_campaign(campaign_id)
    group_key = f"{test_group_prefix(campaign_id)}{secrets.token_urlsafe(9)}"
    mails = [
        queue_mail(
            kind="test",
            to_address=address,
            language=campaign.language,
            expires_at=utcnow() + TEST_MAIL_LIFETIME,
            context={"campaign_id": campaign_id, "as_user_id": as_user_id},
            group_key=group_key,
        )
        for address in addresses
    ]
    campaign.tested_version = campaign.version
    mail_ids = tuple(mail.id for mail in mails)
    tested = {"addresses": [mask(address) for address in addresses], "as_user": as_user_id}
    record_action("campaign.test_sent", target_of(campaign), after=tested)
    db.session.commit()
    return QueuedTest(group_key, mail_ids)


def test_group_prefix(campaign_id: int) -> str:
    """Return what the group keys of a campaign's tests begin with."""
    return f"test-{campaign_id}-"


def _usual_values() -> dict[str, Any]:
    site = current_site()
    usual = {"language": site.language, "sender_name": default_sender()[0], "reply_to": site.reply_to}
    return usual | usual_tracking()


def _record_edit(campaign_id: int, before: Draft, after: Draft) -> None:
    """Note what was changed; that the text was, once per person and hour: the composer saves every few seconds."""
    target = campaign_target(campaign_id, after.subject)
    was, now = what_changed(_without_body(before), _without_body(after))
    if now:
        record_action("campaign.edited", target, before=was, after=now)
    if before.body != after.body:
        was, now = {"body_characters": len(before.body)}, {"body_characters": len(after.body)}
        record_once("campaign.text_edited", target, before=was, after=now)


def _without_body(draft: Draft) -> dict[str, Any]:
    values = asdict(draft)
    del values["body"]
    return values


def _draft_of(campaign: Campaign) -> Draft:
    return Draft(
        subject=campaign.subject,
        preheader=campaign.preheader,
        sender_name=campaign.sender_name,
        reply_to=campaign.reply_to,
        language=campaign.language,
        body=campaign.body,
        tracks_opens=campaign.tracks_opens,
        tracks_clicks=campaign.tracks_clicks,
    )


def _explain_refusal(campaign_id: int) -> None:
    db.session.expire_all()
    latest = get_campaign(campaign_id)
    if not latest.is_editable:
        raise Conflict(_("This campaign has been launched, so its content can no longer change."))
    raise DraftConflict(_("Somebody else has saved this campaign in the meantime."), latest)


def _run(statement: Update | Delete) -> bool:
    result = db.session.execute(statement.execution_options(synchronize_session=False))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
