"""What of a mail is tracked, and what never is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from campaigns.accounts.addresses import parse_address
from campaigns.accounts.sign_up import request_reset, sign_up
from campaigns.compose.models import Campaign
from campaigns.compose.queries import gather_check_input
from campaigns.compose.rendering import ContentSource, MailFrame, compile_content
from campaigns.compose.services import queue_test_mails
from campaigns.compose.tracked_links import TRACKING_TOKEN, Tracking
from campaigns.delivery.launch import compile_for_launch
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.mail.services import deliver_mail
from campaigns.security import Role
from campaigns.team.invitations import invite
from tests.delivery.campaigns import make_campaign
from tests.people import make_user, make_users
from tests.tracking.mails import BODY, SITE, links, picture, send_tracked

TRACKING = Tracking(
    link_address=("https://news.example.com/c/", "/"),
    picture_address=("https://news.example.com/o/", ".gif"),
    recipients_pages="https://news.example.com/p/",
)
FIELDS = {"name": "Ada", "email": "ada@example.com", "unsubscribe_url": "https://news.example.com/p/u/abc", "city": "x"}


def compiled_links(body: str) -> tuple[list[str], tuple[str, ...]]:
    """The links of a body as a recipient with the token `T` gets them, and the targets that were put aside."""
    compiled = compile_content(ContentSource(subject="s", body=body), MailFrame(site_name="s"), None, TRACKING)
    rendered = compiled.render(FIELDS | {TRACKING_TOKEN: "T"})
    return links(rendered.html)[:-1], compiled.link_targets  # the last is the footer's


@pytest.mark.both_databases
def test_each_recipient_has_links_of_their_own_that_lead_by_the_site(app, sink):
    make_users(2)
    campaign_id = send_tracked()
    first, second = (links(mail.html) for mail in sink.mails)
    assert [re.sub(r"/c/[\w-]{32}/", "/c/TOKEN/", href) for href in first[:4]] == [
        f"{SITE}/c/TOKEN/1", f"{SITE}/c/TOKEN/2", f"{SITE}/c/TOKEN/1", "https://example.com/bare",
    ]  # fmt: skip
    assert not set(first[:3]) & set(second)
    assert picture(sink, 0) != picture(sink, 1)
    targets = ["https://example.com/news?a=1&b=2", "https://help.example.org/faq#top"]
    assert db.session.get_one(Campaign, campaign_id).compiled["content"]["link_targets"] == targets


def test_the_text_part_and_the_way_out_stay_as_they_are(app, sink):
    make_users(1)
    send_tracked()
    [mail] = sink.mails
    assert "https://example.com/news?a=1&b=2" in mail.text
    assert "/c/" not in mail.text
    assert "/o/" not in mail.text
    assert sum(href.startswith(f"{SITE}/p/u/") for href in links(mail.html)) == 2
    assert mail.message["List-Unsubscribe"].startswith(f"<{SITE}/p/u/")


@pytest.mark.parametrize(
    "body",
    [
        "[example.com](https://example.com)",
        "[Visit https://example.com/x](https://example.com/x)",
        "[www.example.com/news](https://example.com/news)",
        "[see shop.example.co.kr now](https://shop.example.co.kr)",
        "https://example.com/bare",
        "[to you](https://example.com/{{ city }})",
        "[to you]({{ city }})",
        "[out]({{ unsubscribe_url }})",
        "[write](mailto:a@example.com)",
        "[call](tel:+8210)",
        "[part](#part)",
        "[preferences](https://news.example.com/p/prefs)",
    ],
)
def test_links_that_are_never_tracked(body: str) -> None:
    found, targets = compiled_links(body)
    assert targets == ()
    assert not any("/c/" in href for href in found)


@pytest.mark.parametrize(
    "body",
    [
        "[version 3.5 is out](https://example.com/x)",
        "[자세히 보기](https://example.com/x)",
        "[Read, etc. and so on](https://example.com/x)",
        "![a picture](https://example.com/a.png)".join(["[", "](https://example.com/x)"]),
        "[Button](https://example.com/x){.button}",
        "{% if name %}[only you](https://example.com/x){% endif %}",
        "[{{ name }}](https://example.com/x)",
    ],
)
def test_links_that_are_tracked(body: str) -> None:
    found, targets = compiled_links(body)
    assert targets == ("https://example.com/x",)
    assert "https://news.example.com/c/T/1" in found


def test_either_may_be_tracked_without_the_other(app, sink):
    make_users(1)
    send_tracked(opens=False)
    send_tracked(clicks=False)
    only_clicks, only_opens = (mail.html for mail in sink.mails)
    assert "/c/" in only_clicks
    assert "/o/" not in only_clicks
    assert "/c/" not in only_opens
    assert "/o/" in only_opens


def test_an_untracked_campaign_is_compiled_as_if_there_were_no_tracking(app):
    campaign = db.session.get_one(Campaign, make_campaign(body=BODY))
    stored = compile_for_launch(campaign).to_json()
    assert set(stored["content"]) == {"format", "language", "subject", "preheader", "html", "text"}
    assert "opening" not in str(stored)
    assert TRACKING_TOKEN not in str(stored)


def test_a_test_mail_leads_straight_to_the_targets(app, sink):
    campaign_id = make_campaign(body=BODY, tracks_opens=True, tracks_clicks=True)
    [mail_id] = queue_test_mails(campaign_id, ["tester@example.com"]).mail_ids
    deliver_mail(mail_id)
    [mail] = sink.mails
    assert links(mail.html)[0] == "https://example.com/news?a=1&b=2"
    assert "/c/" not in mail.html
    assert "/o/" not in mail.html


def test_the_preview_shows_the_targets(owner_client):
    campaign_id = make_campaign(body=BODY, tracks_opens=True, tracks_clicks=True)
    page = owner_client.get(f"/campaigns/{campaign_id}/preview").text
    assert "https://example.com/news?a=1&amp;b=2" in page
    assert "/c/" not in page


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "TRACK_OPENS": "true", "TRACK_CLICKS": "true"}


def test_service_mails_are_never_tracked_whatever_is_the_default(app, sink):
    """No picture of any kind, and no link but straight to the site's own pages."""
    owner = make_user("ada@example.com", name="Ada", role="owner", password=True)
    sign_up(parse_address("new@example.com"), "a long enough password", name="New", language="en")
    request_reset(parse_address(owner.email), language="en")
    invite(parse_address("colleague@example.com"), Role.SENDER, name="", language="en", by=owner)
    for mail_id in db.session.scalars(select(OutboxMail.id)).all():
        deliver_mail(mail_id)
    assert {mail.recipient for mail in sink.mails} == {"new@example.com", owner.email, "colleague@example.com"}
    for mail in sink.mails:
        assert links(mail.html)
        assert {urlsplit(href).path.split("/")[1] for href in links(mail.html) if href.startswith("http")} <= {
            "", "verify", "password", "invite",
        }  # fmt: skip
        assert "<img" not in mail.html


@pytest.mark.parametrize(("opens", "clicks"), [(False, False), (True, True)])
def test_the_size_that_is_checked_is_the_size_of_what_is_sent(app, sink, opens, clicks):
    make_user("haneul@example.com", name="김하늘", language="ko")
    campaign_id = send_tracked(opens=opens, clicks=clicks, language="ko", body=BODY * 20)
    measured = gather_check_input(db.session.get_one(Campaign, campaign_id)).html_bytes
    [mail] = sink.mails
    assert measured == len(mail.html.replace("\r\n", "\n").removesuffix("\n").encode())
