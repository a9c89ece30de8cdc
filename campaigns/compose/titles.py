"""A campaign's name in lists and headings: its subject as people will read it, or have read it."""

from __future__ import annotations

from functools import lru_cache

from flask_babel import gettext as _

from campaigns.compose.contexts import Context
from campaigns.compose.merge import OutputTooLong, parse
from campaigns.compose.merge_tags import MergeError
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.run_dates import run_date
from campaigns.site import current_site


def campaign_title(campaign: Campaign) -> str:
    """Return a campaign's subject as `subject_title` does, with the day of its mails once that is known."""
    return subject_title(campaign.subject, date=_date_of(campaign))


def subject_title(subject: str, *, date: str = "") -> str:
    """Return a subject with each field's default in its place, or the field's name in brackets where it has none.

    `date` is the day of its mails in words; empty while it is not known.
    """
    return _filled(subject, date or _("[day of sending]")).strip() or _("(no subject yet)")


def _date_of(campaign: Campaign) -> str:
    if campaign.begins_at is None or campaign.state == CampaignState.APPROVAL:
        return ""
    return run_date(campaign.begins_at, zone_name=current_site().timezone, language=campaign.language)


@lru_cache(maxsize=512)
def _filled(subject: str, date: str) -> str:
    try:
        template = parse(subject, Context.HEADER)
        names = {name: f"[{name}]" for name in template.fields_without_default}
        return template.render({**names, "date": date})
    except (MergeError, OutputTooLong):
        return subject
