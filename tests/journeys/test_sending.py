"""The main journey: write, look at it, test, launch, take back, launch again, watch it arrive, read the report."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.looking import axe_violations
from tests.journeys.steps import check_equations, launch, log_in, wait_for_all, write_campaign

pytestmark = pytest.mark.timeout(500)

VIEWS = {
    "desktop": "안녕하세요",
    "phone": "안녕하세요",
    "dark": "안녕하세요",
    "text": "자세히",
    "source": "MIME-Version",
}


def test_write_test_launch_take_back_launch_watch_report_and_unsubscribe(
    windows: Windows, site: Installation, word: str
) -> None:
    page = windows.open(language="ko")
    log_in(page, site)
    site.add_user(leaver := f"leaver-{word}@example.com", language="ko")
    campaign_id = write_campaign(page, site, subject=f"소식 {word}")
    look_at_every_view(page, word)
    send_a_test(page, site, word)

    page.goto(f"{site.url}/campaigns/{campaign_id}/check")
    page.get_by_role("link", name="보내기 단계로").click()
    refuse_a_wrong_number(page)
    with site.frozen("-Q work"):  # which ends the hold
        launch(page)
        page.get_by_role("button", name="되돌리기").click()
        page.wait_for_url("**/edit")
    expect(page.locator("#messages")).to_contain_text("보낸 메일은 없습니다")
    assert site.arrivals(word) == {}

    page.goto(f"{site.url}/campaigns/{campaign_id}/launch")
    launch(page)
    page.evaluate("window.stayed = true")
    wait_for_all(page)
    assert page.evaluate("window.stayed"), "the page was loaded again"
    recipients = site.recipients(campaign_id)
    check_equations(page, len(recipients))
    assert axe_violations(page) == []
    page.locator("#progress-actions a.primary").click()
    page.wait_for_url("**/report")
    check_equations(page, len(recipients))

    assert site.each_got_one(campaign_id, word)
    unsubscribe(windows.open(language="ko", width=360, height=780), site, leaver)
    assert page.evaluate("refused") == []
    assert windows.console == []


def look_at_every_view(page: Page, word: str) -> None:
    """Wait for the autosave, then look at each view of the preview."""
    expect(page.locator("[data-save-status]")).to_contain_text("저장됨", timeout=60_000)
    for view, words in VIEWS.items():
        page.locator(f"input[name=preview_mode][value={view}]").check()
        frame = page.locator("iframe.preview-frame:not(.vh)").last
        expect(frame.content_frame.locator("body")).to_contain_text(words)
        if view != "source":
            expect(frame.content_frame.locator(".inbox-line")).to_contain_text(f"님, 소식 {word}달라지는 것 세 가지")
    page.reload()
    expect(page.locator("#body")).to_have_value(re.compile("새 요금제"))
    expect(page.locator("#subject")).to_have_value(re.compile(f"소식 {word}"))


def send_a_test(page: Page, site: Installation, word: str) -> None:
    """Send a test to an address that is nobody's, and wait for the server's answer without loading again."""
    page.locator("button[name=then][value=test]").click()
    page.wait_for_url("**/test")
    page.locator("#addresses").fill("tester@example.org")
    page.get_by_role("button", name="테스트 보내기").click()
    expect(page.locator("#test-results .badge.ok")).to_have_count(1, timeout=60_000)
    expect(page.locator("#test-results")).to_contain_text("tester@example.org")
    mail = site.wait_for_mail("tester@example.org", since=0, words=word)
    page.goto(f"{site.url}/inbox/{mail}")
    expect(page.locator("h1")).to_contain_text(word)


def refuse_a_wrong_number(page: Page) -> None:
    """Type another number than the page says: nothing is sent."""
    page.wait_for_url("**/launch")
    page.locator("#confirm").fill("7")
    page.locator(".launch-form button.primary").click()
    expect(page.locator("#error-summary")).to_be_focused()
    assert page.title().startswith("오류:")


def unsubscribe(page: Page, site: Installation, address: str) -> None:
    """Follow the link in a mail: looking changes nothing, the button does."""
    page.goto(f"{site.url}/inbox?q={address}")
    page.locator("tbody a").first.click()
    page.get_by_role("link", name="텍스트").click()
    link = page.locator("pre a[href*='/p/u/']").get_attribute("href")
    assert link
    page.goto(link)
    assert not site.is_unsubscribed(address)
    page.get_by_role("button", name="수신거부").click()
    expect(page.locator("h1")).to_have_text("수신거부했습니다")
    assert site.is_unsubscribed(address)
