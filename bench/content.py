"""The mail that every way sends: Korean text and HTML with three merge fields and an unsubscribe link, about 4 KB."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from campaigns.compose.contexts import Context
from campaigns.compose.merge import FieldSegment, Template, parse
from campaigns.compose.rendering import CompiledContent, ContentSource, MailFrame, compile_content
from campaigns.delivery.claims import Recipient
from campaigns.delivery.message import CampaignMessage, LaunchedContent

SENDER_NAME: Final = "우편함"
SENDER: Final = "news@example.com"
BASE_URL: Final = "http://news.example.com"

SUBJECT: Final = "{{ name }}님, 11월 소식이 도착했습니다"
_SENTENCE: Final = "이번 달에는 새로운 기능이 많이 들어왔습니다."
TEXT: Final = (
    "{{ name }}님, 안녕하세요.\n{{ city }}에서 {{ plan }} 요금제를 쓰시는 분께 드립니다.\n\n"
    + f"{_SENTENCE}\n" * 8
    + "\n자세히: https://example.com/news\n수신거부: {{ unsubscribe_url }}\n"
)
HTML: Final = (
    '<!DOCTYPE html><html lang="ko"><body>\n<p>{{ name }}님, 안녕하세요.</p>\n'
    "<p>{{ city }}에서 {{ plan }} 요금제를 쓰시는 분께 드립니다.</p>\n"
    + f"<p>{_SENTENCE}</p>\n"
    * 18
    + '<p><a href="https://example.com/news">자세히</a></p>\n'
    '<p><a href="{{ unsubscribe_url }}">수신거부</a></p>\n</body></html>\n'
)

# What an editor writes; the site's own layout around it makes the mail twice as big.
BODY: Final = (
    "{{ name }}님, 안녕하세요.\n\n{{ city }}에서 {{ plan }} 요금제를 쓰시는 분께 드립니다.\n\n"
    + f"{_SENTENCE}\n\n" * 8
    + "[자세히](https://example.com/news)\n"
)


def plain_content() -> LaunchedContent:
    """Return the content without the site's layout, as a launched campaign holds it."""
    return _launched(
        CompiledContent(
            subject=parse(SUBJECT, Context.HEADER),
            preheader=Template(()),
            html=_html_template(HTML),
            text=parse(TEXT, Context.TEXT),
            language="ko",
        )
    )


def site_content() -> LaunchedContent:
    """Return the content in the site's layout, as a launch from the site makes it."""
    frame = MailFrame(site_name=SENDER_NAME, sender_address=SENDER)
    return _launched(compile_content(ContentSource(subject=SUBJECT, body=BODY), frame))


def mail_size(launched: LaunchedContent) -> int:
    """Return the octets of one recipient's mail, as Carillon sends it."""
    message = CampaignMessage(1, launched, secret_key="k" * 40, unsubscribe_link=(f"{BASE_URL}/u/", ""))
    someone = Recipient(1, 1, "person1@example.com", 0, "김하늘 1", "ko", {"city": "서울", "plan": "basic"})
    return len(message.build(someone, date=datetime(2026, 11, 22, 9, 30, tzinfo=UTC)))


def _launched(content: CompiledContent) -> LaunchedContent:
    return LaunchedContent(
        content=content, sender_name=SENDER_NAME, sender_address=SENDER, reply_to="", site_name=SENDER_NAME
    )


def _html_template(source: str) -> Template:
    """Return HTML with fields as a template; `parse` would take its markup for text."""
    return Template(tuple(_segment(piece) for piece in re.split(r"(\{\{ \w+ \}\})", source) if piece))


def _segment(piece: str) -> str | FieldSegment:
    if not piece.startswith("{{"):
        return piece
    name = piece.strip("{} ")
    return FieldSegment(name, "", Context.URL_WHOLE_HTML if name == "unsubscribe_url" else Context.HTML)
