"""What the composer reads: campaigns, the fields that templates may use, and what the checks want to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, or_, select

from campaigns.accounts.models import User
from campaigns.audience.queries import UserState, in_state, merge_field_names
from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.audit.services import Target
from campaigns.clock import utcnow
from campaigns.compose.checks import CheckInput, Finding, run_checks
from campaigns.compose.markdown import parse_body
from campaigns.compose.marks import Marks
from campaigns.compose.merge import OutputTooLong
from campaigns.compose.models import FINAL_STATES, Campaign, CampaignState
from campaigns.compose.rendering import (
    CompiledContent,
    ContentError,
    ContentSource,
    MailFrame,
    compile_content,
    recipient_fields,
)
from campaigns.compose.run_dates import run_date
from campaigns.compose.titles import campaign_title, subject_title
from campaigns.compose.tracked_addresses import tracking_of
from campaigns.compose.tracked_links import TOKEN_CHARACTERS, TRACKING_TOKEN, Tracking
from campaigns.config import current_settings
from campaigns.database import LARGEST_ID
from campaigns.errors import NotFound
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.models import OutboxMail
from campaigns.merge_fields import BUILT_IN_FIELDS
from campaigns.site import current_site, default_sender

PAGE_SIZE: Final = 50

TABS: Final[dict[str, frozenset[CampaignState]]] = {
    "all": frozenset(CampaignState),
    "draft": frozenset({CampaignState.DRAFT}),
    "scheduled": frozenset({CampaignState.APPROVAL, CampaignState.SCHEDULED, CampaignState.STARTING}),
    "sending": frozenset({CampaignState.PREPARING, CampaignState.SENDING, CampaignState.PAUSED}),
    "sent": FINAL_STATES,
}


@dataclass(frozen=True)
class CampaignPage:
    """One page of the list, newest first; `older_than` is the key of the next page, `newer_than` of the one before."""

    campaigns: Sequence[Campaign]
    older_than: int | None
    newer_than: int | None


def get_campaign(campaign_id: int) -> Campaign:
    """Return a campaign. Raises NotFound."""
    campaign = db.session.get(Campaign, campaign_id) if campaign_id <= LARGEST_ID else None
    if campaign is None:
        raise NotFound(_("There is no such campaign. It may have been deleted."))
    return campaign


def get_campaigns(campaign_ids: Sequence[int]) -> Sequence[Campaign]:
    """Return those of these campaigns that there are."""
    return db.session.scalars(select(Campaign).where(Campaign.id.in_(campaign_ids))).all()


def target_of(campaign: Campaign) -> Target:
    """Return a campaign as the activity log names it."""
    return Target("campaign", campaign.id, campaign_title(campaign) if campaign.subject.strip() else "")


def campaign_target(campaign_id: int, subject: str) -> Target:
    """As `target_of`, with a subject that is just being saved."""
    return Target("campaign", campaign_id, subject_title(subject) if subject.strip() else "")


def list_campaigns(tab: str, *, search: str = "", before: int | None = None, after: int | None = None) -> CampaignPage:
    """Return up to PAGE_SIZE campaigns of a tab; `before` and `after` are ids to page from."""
    query = select(Campaign).where(_in_tab(tab))
    if search.strip():
        query = query.where(Campaign.subject.icontains(search.strip(), autoescape=True))
    if after is not None:
        newer = list(
            db.session.scalars(
                query.where(Campaign.id > min(after, LARGEST_ID)).order_by(Campaign.id).limit(PAGE_SIZE + 1)
            )
        )
        rows = newer[:PAGE_SIZE][::-1]
        return CampaignPage(rows, rows[-1].id if rows else None, rows[0].id if len(newer) > PAGE_SIZE else None)
    if before is not None:
        query = query.where(Campaign.id < min(before, LARGEST_ID))
    older = list(db.session.scalars(query.order_by(Campaign.id.desc()).limit(PAGE_SIZE + 1)))
    rows = older[:PAGE_SIZE]
    has_newer = before is not None and bool(rows)
    return CampaignPage(rows, rows[-1].id if len(older) > PAGE_SIZE else None, rows[0].id if has_newer else None)


def count_campaigns() -> dict[str, int]:
    """Return how many campaigns each tab holds, "archived" included."""
    rows = db.session.execute(
        select(Campaign.state, Campaign.archived_at.is_not(None), func.count()).group_by(
            Campaign.state, Campaign.archived_at.is_not(None)
        )
    ).all()
    counts = {
        tab: sum(count for state, archived, count in rows if state in states and not archived)
        for tab, states in TABS.items()
    }
    return counts | {"archived": sum(count for _state, archived, count in rows if archived)}


def known_fields() -> tuple[str, ...]:
    """Return the names that a template may use: the reserved ones, and people's attributes."""
    return (*BUILT_IN_FIELDS, *(name for name in merge_field_names() if name not in BUILT_IN_FIELDS))


def source_of(campaign: Campaign) -> ContentSource:
    """Return what an editor wrote."""
    return ContentSource(
        subject=campaign.subject, preheader=campaign.preheader, body=campaign.body, language=campaign.language
    )


def compile_source(source: ContentSource, tracking: Tracking | None = None) -> CompiledContent:
    """Compile content with this site's frame and fields; `to_json()` is what a launch keeps. Raises ContentError."""
    return compile_content(source, current_frame(), known_fields(), tracking)


def sent_html_bytes(source: ContentSource, *, opens: bool, clicks: bool) -> int | None:
    """Return the size of a made-up person's HTML as it is sent, with tracked links where these are wanted.

    None when it is too long to be rendered. Raises ContentError.
    """
    compiled = compile_source(source, tracking_of(opens=opens, clicks=clicks))
    way_out = public_url("audience.unsubscribe", token=unsubscribe_token("", 0, 0))
    fields = sample_fields(source.language, way_out) | {TRACKING_TOKEN: "0" * TOKEN_CHARACTERS}
    try:
        return len(compiled.html.render(fields).encode())
    except OutputTooLong:
        return None


def compile_campaign(campaign: Campaign) -> CompiledContent:
    """Compile a campaign's content for a preview or a test, where nothing is tracked. Raises ContentError."""
    return compile_source(source_of(campaign))


def current_frame() -> MailFrame:
    """Return what stands around every announcement of this site."""
    site = current_site()
    _name, address = default_sender()
    return MailFrame(site_name=site.name, sender_address=address, postal_address=site.postal_address)


def sample_fields(language: str, unsubscribe_url: str, *, empty: bool = False) -> dict[str, str]:
    """Return the fields of a made-up person: with every value, or with none that may be missing."""
    names = [name for name in known_fields() if name not in BUILT_IN_FIELDS]
    return recipient_fields(
        email="haneul@example.com",
        name="" if empty else ("김하늘" if language == "ko" else "Haneul Kim"),
        language=language,
        attributes={} if empty else {name: f"‹{name}›" for name in names},
        site_name=current_site().name,
        date=_date_of_today(language),
        unsubscribe_url=unsubscribe_url,
    )


def fields_of(user: User, unsubscribe_url: str, *, content_language: str) -> dict[str, str]:
    """Return the fields of a real person, for content in a language."""
    return recipient_fields(
        email=user.email,
        name=user.name,
        language=user.language or current_site().language,
        attributes=user.attributes,
        site_name=current_site().name,
        date=_date_of_today(content_language),
        unsubscribe_url=unsubscribe_url,
    )


def _date_of_today(language: str) -> str:
    return run_date(utcnow(), zone_name=current_site().timezone, language=language)


def find_user(address_or_id: str | int) -> User | None:
    """Return a user by id or by address, or None."""
    if isinstance(address_or_id, int):
        return db.session.get(User, address_or_id) if address_or_id <= LARGEST_ID else None
    key = address_or_id.strip().lower()
    return db.session.execute(select(User).where(User.address_key == key)).scalar_one_or_none()


def test_results(group_key: str) -> Sequence[OutboxMail]:
    """Return the outbox rows of one test, in the order of their addresses."""
    return db.session.scalars(select(OutboxMail).where(OutboxMail.group_key == group_key).order_by(OutboxMail.id)).all()


def check_campaign(campaign: Campaign) -> tuple[Finding, ...]:
    """Return the findings of all checks on a campaign as it is saved, the heaviest first."""
    return run_checks(gather_check_input(campaign))


def gather_check_input(campaign: Campaign) -> CheckInput:
    """Collect what the checks look at."""
    settings = current_settings()
    content: dict[str, Any] = {}
    try:
        compiled = compile_campaign(campaign)
    except ContentError as error:
        content["problems"] = error.problems
    else:
        content = _facts_of_content(campaign, compiled)
    return CheckInput(
        subject=campaign.subject,
        preheader=campaign.preheader,
        body=campaign.body,
        language=campaign.language,
        version=campaign.version,
        tested_version=campaign.tested_version,
        public_base_url=settings.public_base_url,
        mail_leaves_machine=settings.mail_leaves_machine,
        sender_address=default_sender()[1],
        postal_address=current_site().postal_address,
        **content,
    )


def _facts_of_content(campaign: Campaign, compiled: CompiledContent) -> dict[str, Any]:
    body = parse_body(campaign.body, Marks())
    html_bytes = sent_html_bytes(source_of(campaign), opens=campaign.tracks_opens, clicks=campaign.tracks_clicks)
    return {
        "html_bytes": html_bytes or 0,
        "too_long": html_bytes is None,
        "link_addresses": body.link_addresses,
        "refused_addresses": body.refused_addresses,
        "images_without_alt": body.images_without_alt,
        "has_words": body.has_words,
        "people_lacking": {name: _count_lacking(name) for name in compiled.fields_without_default},
    }


def _count_lacking(name: str) -> int:
    if name == "language":
        return 0
    value = User.name if name == "name" else User.attributes[name].as_string()
    lacking = or_(value.is_(None), func.trim(value) == "")
    return db.session.execute(
        select(func.count()).select_from(User).where(in_state(UserState.ACTIVE), lacking)
    ).scalar_one()


def _in_tab(tab: str) -> ColumnElement[bool]:
    if tab == "archived":
        return Campaign.archived_at.is_not(None)
    return Campaign.archived_at.is_(None) & Campaign.state.in_(TABS.get(tab, TABS["all"]))
