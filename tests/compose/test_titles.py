"""A campaign is called what people will read, not what its author typed to fill it in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask_babel import force_locale

from campaigns.compose.models import Campaign
from campaigns.compose.titles import campaign_title, subject_title
from tests.people import log_in, make_user


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ('{{ name | default: "회원" }}님, 11월 소식', "회원님, 11월 소식"),
        ("{{ name }}님, {{ city }} 소식", "[name]님, [city] 소식"),
        ("{% if name %}{{ name }}님{% else %}여러분{% endif %}께", "여러분께"),
        ("{{ not closed", "{{ not closed"),
    ],
)
def test_a_title_is_the_subject_with_its_defaults(app, subject, title):
    assert subject_title(subject) == title


def test_a_campaign_without_a_subject_says_so(app):
    with force_locale("en"):
        assert subject_title("  ") == "(no subject yet)"


@pytest.mark.parametrize(("language", "words"), [("en", "News [day of sending]"), ("ko", "News [보내는 날]")])
def test_a_day_that_is_not_known_yet_is_said_in_words(app, language, words):
    with force_locale(language):
        assert campaign_title(Campaign(subject="News {{ date }}", state="draft")) == words
        asked = Campaign(subject="News {{ date }}", state="approval", launched_at=datetime(2026, 11, 22, tzinfo=UTC))
        assert campaign_title(asked) == words


def test_a_campaign_that_goes_out_shows_the_day_that_its_readers_read(app):
    """In the campaign's language and the site's zone, where it is the 23rd already."""
    launched = {
        "launched_at": datetime(2026, 11, 1, tzinfo=UTC),
        "scheduled_at": datetime(2026, 11, 22, 20, tzinfo=UTC),
    }
    campaign = Campaign(subject="{{ date }} 소식", state="sent", language="ko", **launched)
    assert campaign_title(campaign) == "2026년 11월 23일 소식"


@pytest.mark.parametrize("state", ["draft", "approval", "sending", "sent"])
def test_every_page_of_a_campaign_carries_its_name_into_the_browsers_tab(app, make_campaign, state):
    campaign, owner = make_campaign(state=state), make_user("owner@example.com", password=True, role="owner")
    rules = [rule for rule in app.url_map.iter_rules() if rule.arguments == {"campaign_id"} and "GET" in rule.methods]
    browser, titles = log_in(app, owner), {}
    for rule in rules:
        page = browser.get(rule.rule.replace("<int:campaign_id>", str(campaign.id)))
        if page.status_code == 200 and 'id="main"' in page.text:
            titles[rule.endpoint] = page.text.partition("<title>")[2].partition("</title>")[0]
    assert len(titles) > 6
    assert [endpoint for endpoint, title in titles.items() if "11월 소식" not in title] == []
    assert len(set(titles.values())) == len(titles), titles
