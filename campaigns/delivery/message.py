"""One campaign as a mail factory: everything that is the same for all is made once, a recipient costs a few joins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import load_only

from campaigns.audience.unsubscribe_links import unsubscribe_token
from campaigns.compose.merge import OutputTooLong
from campaigns.compose.models import Campaign, CampaignState
from campaigns.compose.rendering import CompiledContent, recipient_fields
from campaigns.compose.run_dates import run_date
from campaigns.compose.tracked_links import TRACKING_TOKEN
from campaigns.config import current_settings
from campaigns.delivery.claims import Recipient
from campaigns.delivery.layouts import Layouts
from campaigns.delivery.tracking_tokens import tracking_token
from campaigns.extensions import db
from campaigns.links import around_token
from campaigns.mail.addresses import wire_address
from campaigns.mail.headers import HeaderError, Mailbox, address_header, text_header, token_header
from campaigns.mail.mime import alternative_head, boundary_for, date_header
from campaigns.mail.pieces import MessageIds, encode_part
from campaigns.mail.smtp_envelope import FINAL_DOT

MESSAGES_KEPT = 4
_WHAT_A_BATCH_READS = load_only(
    Campaign.state, Campaign.reopened_at, Campaign.frozen_at, Campaign.trouble,
    Campaign.launched_at, Campaign.scheduled_at, Campaign.approved_at,
)  # fmt: skip


@dataclass(frozen=True)
class LaunchedContent:
    """What a campaign's `compiled` column holds: the content and the sender as they were when it was launched."""

    content: CompiledContent
    sender_name: str
    sender_address: str
    reply_to: str
    site_name: str
    zone: str = ""  # the site's, in which the day of the run is written; empty before that was a field

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and strings."""
        return {
            "content": self.content.to_json(),
            "sender_name": self.sender_name,
            "sender_address": self.sender_address,
            "reply_to": self.reply_to,
            "site_name": self.site_name,
            "zone": self.zone,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> LaunchedContent:
        """Return what `to_json` stored."""
        return cls(**{**stored, "content": CompiledContent.from_json(stored["content"])})


class CampaignMessage:
    """Builds each recipient's mail. The same recipient and date give the same bytes, in every process.

    Safe to use from several threads. Every line ends in CRLF and none starts with a dot.
    """

    def __init__(
        self,
        campaign_id: int,
        launched: LaunchedContent,
        *,
        secret_key: str,
        unsubscribe_link: tuple[str, str],
        run_on: str = "",
    ) -> None:
        """Take the link that unsubscribes as what comes before and after its token, and the day of the run in words.

        Raises HeaderError.
        """
        self._run_on = run_on
        self.sender = launched.sender_address
        """The address that mail is from, in the header and in the envelope."""
        self._campaign_id = campaign_id
        self._launched = launched
        self._is_tracked = TRACKING_TOKEN in launched.content.html.fields_used
        self._secret_key = secret_key
        self._link = unsubscribe_link
        domain = self.sender.rpartition("@")[2]
        self._message_ids = MessageIds(secret_key.encode()[:64], "campaign", campaign_id, domain=domain)
        same_for_all = {"site_name": launched.site_name} | ({"date": run_on} if run_on else {})
        self._layouts = Layouts(launched.content, same_for_all=same_for_all, unsubscribe_link=unsubscribe_link)
        # It starts with `=_`, which neither base64 nor quoted-printable contains, so it may be the same in all mails.
        boundary = boundary_for(f"campaign:{campaign_id}")
        self._first_lines = _fixed_headers(campaign_id, launched) + b"To: "
        self._link_lines = _link_lines(unsubscribe_link)
        self._before_text = self._link_lines[1] + alternative_head(boundary) + b"--" + boundary + b"\r\n"
        self._between = b"\r\n--" + boundary + b"\r\n"
        self._after_html = b"\r\n--" + boundary + b"--\r\n"

    def build(self, recipient: Recipient, *, date: datetime) -> bytes:
        """Return one recipient's mail.

        The Message-ID is a keyed hash of campaign and position, the same on every attempt (RFC 5322 §3.6.4). Raises
        AddressError or HeaderError when the address cannot be written or a value cannot stand in the mail.
        """
        return b"".join(self._lines(recipient, date_header(date)))

    def build_wire(self, recipient: Recipient, *, date_line: bytes) -> bytes:
        """Return what `build` returns as it goes over the wire: with the final dot, for `Envelope.is_wire_ready`.

        `date_line` is a whole Date header: a window of mails has one date, and writing it costs as much as a signature.
        """
        lines = self._lines(recipient, date_line)
        lines.append(FINAL_DOT)
        return b"".join(lines)

    def message_id(self, position: int) -> str:
        """Return the Message-ID of one recipient's mail, by which the mail server's log can be searched."""
        return self._message_ids.make(position)

    def _lines(self, recipient: Recipient, date_line: bytes) -> list[bytes]:
        token = unsubscribe_token(self._secret_key, recipient.user_id, self._campaign_id)
        subject, text, html = self._content(self._fields(recipient, token), token)
        return [
            self._first_lines,
            f"{wire_address(recipient.address)}\r\n".encode(),
            subject,
            date_line,
            f"Message-ID: {self._message_ids.make(recipient.position)}\r\n".encode("ascii"),
            self._link_lines[0],
            token.encode("ascii"),
            self._before_text,
            *text,
            self._between,
            *html,
            self._after_html,
        ]

    def _content(self, fields: dict[str, str], token: str) -> tuple[bytes, list[bytes], list[bytes]]:
        """Return the Subject header and both parts, by a layout wherever that gives the same text."""
        layout = self._layouts.choose(fields)
        values = layout.values(fields, token) if layout is not None else None
        if layout is None or values is None:
            return self._whole_content(fields)
        return layout.write_subject(values), layout.text.write(values), layout.html.write(values)

    def _whole_content(self, fields: dict[str, str]) -> tuple[bytes, list[bytes], list[bytes]]:
        try:
            rendered = self._launched.content.render(fields)
        except OutputTooLong as error:
            raise HeaderError("too_long", "Content") from error
        subject = text_header("Subject", rendered.subject)
        return subject, [encode_part("plain", rendered.text)], [encode_part("html", rendered.html)]

    def _fields(self, recipient: Recipient, token: str) -> dict[str, str]:
        fields = recipient_fields(
            email=recipient.address,
            name=recipient.name,
            language=recipient.language,
            attributes=recipient.attributes,
            site_name=self._launched.site_name,
            unsubscribe_url=token.join(self._link),
            date=self._run_on,
        )
        if self._is_tracked:
            fields[TRACKING_TOKEN] = tracking_token(self._secret_key, self._campaign_id, recipient.position)
        return fields


def campaign_to_send(campaign_id: int) -> Campaign | None:
    """Return a campaign that sends, with what every batch reads of it; None when it does not, or there is no such one.

    Its content, which a process reads once, is left out.
    """
    campaign = db.session.get(Campaign, campaign_id, options=[_WHAT_A_BATCH_READS])
    return campaign if campaign and campaign.state == CampaignState.SENDING else None


def message_of(campaign: Campaign) -> CampaignMessage:
    """Return the mail factory of a launched campaign, kept while this process sends it; reads only."""
    assert campaign.begins_at is not None
    link = around_token("audience.unsubscribe")
    return _make_message(campaign.id, campaign.begins_at, current_settings().secret_key, link)


@lru_cache(maxsize=MESSAGES_KEPT)
def _make_message(
    campaign_id: int, begins_at: datetime, secret_key: str, unsubscribe_link: tuple[str, str]
) -> CampaignMessage:
    """Return it for a campaign launched at one moment, which has one content."""
    stored = db.session.scalar(select(Campaign.compiled).where(Campaign.id == campaign_id))
    launched = LaunchedContent.from_json(stored or {})
    language, zone = launched.content.language, launched.zone
    run_on = run_date(begins_at, zone_name=zone, language=language) if zone else ""
    return CampaignMessage(
        campaign_id, launched, secret_key=secret_key, unsubscribe_link=unsubscribe_link, run_on=run_on
    )


def _fixed_headers(campaign_id: int, launched: LaunchedContent) -> bytes:
    """Return the header lines that are the same for every recipient.

    One-click unsubscribing is RFC 8058 §3.1; List-Id is RFC 2919; `Precedence: bulk` keeps holiday replies away.
    """
    domain = launched.sender_address.rpartition("@")[2]
    headers = [
        address_header("From", Mailbox(launched.sender_address, launched.sender_name)),
        token_header("MIME-Version", "1.0"),
        token_header("List-Id", f"<announcements.{domain}>"),
        token_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        token_header("Precedence", "bulk"),
        token_header("Feedback-ID", f"{campaign_id}:announcement:carillon"),
    ]
    if launched.reply_to:
        headers.append(address_header("Reply-To", Mailbox(launched.reply_to)))
    return b"".join(headers)


def _link_lines(unsubscribe_link: tuple[str, str]) -> tuple[bytes, bytes]:
    """Return the List-Unsubscribe header before and after the token. Raises HeaderError for a link unfit for it."""
    sample = unsubscribe_token("", 0, 0)
    before, after = token_header("List-Unsubscribe", f"<{sample.join(unsubscribe_link)}>").split(sample.encode("ascii"))
    return before, after
