"""Tracked campaigns for tests: really sent, their links taken out of the mails that arrived, and followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from campaigns import clock
from campaigns.clock import utcnow
from campaigns.extensions import db
from campaigns.tracking.models import TrackedTotal, TrackedVisit
from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.smtp_sink import Sink

SITE = "http://carillon.example.test"
BODY = """안녕하세요 {{ name | default: "고객" }}님,

[자세히](https://example.com/news?a=1&b=2) 보시거나 [도움말](https://help.example.org/faq#top)을 보세요.
다시 [자세히](https://example.com/news?a=1&b=2), 또는 https://example.com/bare 로.

[수신거부]({{ unsubscribe_url }})
"""


def send_tracked(*, opens: bool = True, clicks: bool = True, **content: Any) -> int:
    """Send a campaign that tracks to everybody; returns its id."""
    values = {"body": BODY, "tracks_opens": opens, "tracks_clicks": clicks, **content}
    campaign_id = launch_and_freeze(**values)
    send_round(campaign_id)
    return campaign_id


def links(html: str) -> list[str]:
    """The addresses of a mail's links, in order."""
    return [unescape(href) for href in re.findall(r'<a [^>]*href="([^"]*)"', html)]


def tracked_links(sink: Sink, number: int = 0) -> list[str]:
    """The tracked addresses in one received mail, as paths of the site, each once."""
    found = (href.removeprefix(SITE) for href in links(sink.mails[number].html))
    return list(dict.fromkeys(href for href in found if href.startswith("/c/")))


def picture(sink: Sink, number: int = 0) -> str:
    """The path of the picture in one received mail."""
    [found] = re.findall(rf'<img [^>]*src="{SITE}(/o/[^"]*)"', sink.mails[number].html)
    return str(found)


def follow(client: FlaskClient, path: str, **options: Any) -> TestResponse:
    """Ask for an address to the end, as a server's client does: only then the answer is closed."""
    return client.open(path, buffered=True, **options)


@contextmanager
def later(**after: float) -> Iterator[None]:
    """Some time after the mails have been sent; an hour unless said otherwise."""
    with clock.freeze(utcnow() + timedelta(**after or {"hours": 1})):
        yield


def totals(campaign_id: int) -> dict[int, tuple[int, int, int]]:
    """People, times and machines' times by link, without those of which there is nothing."""
    db.session.rollback()
    rows = db.session.query(TrackedTotal).filter_by(campaign_id=campaign_id)
    found = {row.link: (row.people, row.times, row.machine_times) for row in rows}
    return {link: numbers for link, numbers in found.items() if any(numbers)}


def visits(campaign_id: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Times and machines' times by position and link."""
    db.session.rollback()
    rows = db.session.query(TrackedVisit).filter_by(campaign_id=campaign_id)
    return {(row.position, row.link): (row.times, row.machine_times) for row in rows}
