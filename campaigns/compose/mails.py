"""The mails that the composer sends: a campaign, as a test, to one address."""

from __future__ import annotations

from campaigns.compose.footer_words import footer_words
from campaigns.compose.merge import OutputTooLong
from campaigns.compose.models import Campaign
from campaigns.compose.queries import compile_campaign, fields_of, find_user, sample_fields
from campaigns.compose.rendering import ContentError
from campaigns.extensions import db
from campaigns.links import public_url
from campaigns.mail.kinds import MailContent, mail_kind
from campaigns.mail.models import OutboxMail
from campaigns.site import default_sender


@mail_kind("test")
def render_test_mail(mail: OutboxMail) -> MailContent | None:
    """Return the campaign as it is now, filled in for the address's own user, else the chosen one, else a made-up one.

    None when the campaign is gone or can no longer be rendered.
    """
    campaign = db.session.get(Campaign, int(mail.context["campaign_id"]))
    if campaign is None:
        return None
    try:
        rendered = compile_campaign(campaign).render(_fields_for(mail, campaign))
    except (ContentError, OutputTooLong):
        return None
    prefix = footer_words(campaign.language).test_prefix
    return MailContent(
        subject=f"{prefix} {rendered.subject}".strip(),
        text=rendered.text,
        html=rendered.html,
        sender=sender_of(campaign),
        reply_to=campaign.reply_to or None,
    )


def sender_of(campaign: Campaign) -> tuple[str, str]:
    """Return (name, address) that a campaign is from."""
    name, address = default_sender()
    return campaign.sender_name or name, address


def inert_unsubscribe_url() -> str:
    """Return the address that stands in tests and previews where recipients get their own way out."""
    return public_url("compose.explain_test_link")


def _fields_for(mail: OutboxMail, campaign: Campaign) -> dict[str, str]:
    chosen = mail.context.get("as_user_id")
    user = find_user(mail.to_address) or (find_user(int(chosen)) if chosen else None)
    if user is None:
        return sample_fields(campaign.language, inert_unsubscribe_url())
    return fields_of(user, inert_unsubscribe_url(), content_language=campaign.language)
