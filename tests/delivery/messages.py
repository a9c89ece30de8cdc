"""Mails of one campaign for tests, built without a database, and read as a mail program reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.compose.rendering import CompiledContent, ContentSource, MailFrame, compile_content, recipient_fields
from campaigns.delivery.claims import Recipient
from campaigns.delivery.message import CampaignMessage, LaunchedContent
from campaigns.mail.headers import Mailbox
from campaigns.mail.mime import build_message, message_id

KEY = "a-key-for-tests-only"
LINK = ("https://news.example.com/p/u/", "?from=mail&x=1")
SITE_NAME = "우편함 <우>"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
STRICT = policy.default.clone(raise_on_defect=True)
SAMPLE = ContentSource(
    subject='(광고) {{ name | default: "고객" }}님, 11월 소식',
    body='# 안녕하세요 {{ name | default: "고객" }}님\n\n{% if company %}{{ company }}에 계신 {% endif %}여러분께'
    " [자세히](https://example.com/{{ city }}) 알립니다.\n",
)


def make_message(content: CompiledContent, **overrides: Any) -> CampaignMessage:
    launched = LaunchedContent(
        **{
            "content": content, "sender_name": "우편함", "sender_address": "news@example.com",
            "reply_to": "help@example.com", "site_name": SITE_NAME, **overrides,
        }
    )  # fmt: skip
    return CampaignMessage(7, launched, secret_key=KEY, unsubscribe_link=LINK)


def sample_message(**overrides: Any) -> CampaignMessage:
    return make_message(compile_content(SAMPLE, MailFrame(site_name=SITE_NAME)), **overrides)


def make_recipient(position: int = 1, **overrides: Any) -> Recipient:
    defaults = {"user_id": 1000 + position, "address": f"person{position}@example.com", "name": "김하늘"}
    rest = {"attempts": 0, "language": "ko", "attributes": {"company": "회사", "city": "부산"}}
    return Recipient(**{"position": position, **defaults, **rest, **overrides})


def link_of(recipient: Recipient) -> str:
    return unsubscribe_token(KEY, recipient.user_id, 7).join(LINK)


def built_as_a_whole(content: CompiledContent, recipient: Recipient) -> bytes:
    """The same mail by the way that single mails take."""
    rendered = content.render(
        recipient_fields(
            email=recipient.address, name=recipient.name, language=recipient.language,
            attributes=recipient.attributes, site_name=SITE_NAME, unsubscribe_url=link_of(recipient),
        )
    )  # fmt: skip
    identity = message_id(KEY.encode(), "campaign", 7, recipient.position, domain="example.com")
    return build_message(
        sender=Mailbox("news@example.com", "우편함"), recipient=Mailbox(recipient.address), subject=rendered.subject,
        text=rendered.text, html=rendered.html, message_id=identity, date=NOW,
    )  # fmt: skip


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=STRICT)
    assert isinstance(message, EmailMessage)
    return message


def part_texts(raw: bytes) -> list[str]:
    return [part.get_payload(decode=True).decode() for part in read(raw).iter_parts()]


def header_line(raw: bytes, name: str) -> bytes:
    found = re.search(rb"^" + name.encode() + rb":(?:.*\r\n)(?:[ \t].*\r\n)*", raw, re.MULTILINE)
    assert found
    return found[0]
