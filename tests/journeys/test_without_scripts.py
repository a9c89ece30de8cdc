"""The main journey in a browser without JavaScript: every step has its own button, and the numbers come by loading."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import check_equations, launch, log_in, wait_for_all, write_campaign

pytestmark = pytest.mark.timeout(500)


def test_write_launch_take_back_launch_and_report(windows: Windows, site: Installation, word: str) -> None:
    page = windows.open(language="en", java_script_enabled=False)
    log_in(page, site, address="grace@example.com")
    campaign_id = write_campaign(page, site, subject=f"소식 {word}")
    page.get_by_role("button", name="Update the preview").click()
    expect(page.locator("iframe.preview-frame").content_frame.locator("body")).to_contain_text("새 요금제")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("Saved.")
    page.get_by_role("button", name="Send test").click()
    page.get_by_role("button", name="Send the test").click()
    expect(page.locator("#test-results")).to_be_visible()
    for _attempt in range(60):
        if page.get_by_text("Accepted").count():
            break
        page.wait_for_timeout(1_000)
        page.reload()
    expect(page.locator("#test-results")).to_contain_text("Accepted")

    page.goto(f"{site.url}/campaigns/{campaign_id}/edit")
    page.get_by_role("button", name="Go to checks").click()
    page.get_by_role("link", name="Continue to sending").click()
    with site.frozen("-Q work"):  # which ends the hold
        launch(page)
        page.get_by_role("button", name="Take it back").click()
    expect(page.locator("#messages")).to_contain_text("draft again")

    page.goto(f"{site.url}/campaigns/{campaign_id}/launch")
    launch(page)
    wait_for_all(page, reload=True)
    recipients = site.recipients(campaign_id)
    check_equations(page, len(recipients))
    page.get_by_role("link", name="Report").click()
    check_equations(page, len(recipients))
    assert site.each_got_one(campaign_id, word)
