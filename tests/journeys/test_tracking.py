"""A campaign that counts: chosen while writing, a link of a mail that arrived is followed, and the report says so."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.looking import axe_violations
from tests.journeys.steps import launch, log_in, wait_for_all, write_campaign
from tests.parts import wait_until

pytestmark = pytest.mark.timeout(500)


def test_a_click_in_a_mail_stands_in_the_report(windows: Windows, site: Installation, word: str) -> None:
    page = windows.open(language="ko")
    log_in(page, site)
    campaign_id = write_campaign(page, site, subject=f"세는 소식 {word}")
    choose_to_count(page)
    before = site.newest_mail()
    page.goto(f"{site.url}/campaigns/{campaign_id}/launch")
    launch(page)
    wait_for_all(page)
    mail = site.wait_for_mail("person9@example.com", since=before, words=word)
    follow_the_link(windows.open(language="ko", width=390, height=844), f"{site.url}/inbox/{mail}")

    report = f"{site.url}/campaigns/{campaign_id}/report/links"
    wait_until(lambda: visits_shown(page, report) == 1, what="the click to be counted")
    assert axe_violations(page) == []
    page.get_by_role("link", name="요약", exact=True).click()
    expect(page.locator("main")).to_contain_text("열어 봄(추정)")
    assert page.evaluate("refused") == []


def choose_to_count(page: Page) -> None:
    """Nothing is counted unless it is chosen; the choice is saved with the draft."""
    for name in ("tracks_opens", "tracks_clicks"):
        expect(page.locator(f"#{name}")).not_to_be_checked()
        page.locator(f"#{name}").check()
    page.get_by_role("button", name="저장", exact=True).click()
    expect(page.locator("#messages .notice.ok")).to_be_visible()
    for name in ("tracks_opens", "tracks_clicks"):
        expect(page.locator(f"#{name}")).to_be_checked()


def follow_the_link(page: Page, mail: str) -> None:
    """Open the mail in the inbox, which is no opening, and follow its link, up to the other site, which may be away."""
    loaded: list[str] = []
    page.on("requestfinished", lambda request: loaded.append(request.url))
    page.goto(mail)
    picture = page.locator("iframe").content_frame.locator("img.opening, img[src*='/o/']")
    expect(picture).to_have_count(1)
    assert not picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert [url for url in loaded if "/o/" in url] == []
    link = page.locator("iframe").content_frame.locator("a[href*='/c/']").first.get_attribute("href")
    assert link
    with page.expect_request("https://example.com/**") as asked, suppress(Error):
        page.goto(link)
    assert asked.value.url == "https://example.com/news"
    assert "referer" not in asked.value.headers


def visits_shown(page: Page, report: str) -> int:
    """The clicks in the table, by people and by machines: a test may click sooner after the sending than people do."""
    page.goto(report)
    row = page.locator("tbody tr").filter(has_text="https://example.com/news")
    *_others, clicks, machines = row.locator("td").all_inner_texts() or ("0", "0")
    return sum(int(re.sub(r"\D", "", cell)) for cell in (clicks, machines))
