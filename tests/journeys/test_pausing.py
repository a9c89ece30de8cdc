"""Pausing a campaign that is being sent, and going on: exactly those get it who have not got it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import check_equations, launch, log_in, wait_for_all, write_campaign

pytestmark = pytest.mark.timeout(500)


def test_pause_and_go_on(windows: Windows, site: Installation, word: str) -> None:
    page = windows.open(language="en", width=360, height=780)
    log_in(page, site, address="pat@example.com")
    campaign_id = write_campaign(page, site, subject=f"소식 {word}")
    page.get_by_role("button", name="Go to checks").click()
    page.get_by_role("link", name="Continue to sending").click()
    # Mails to a few dozen people would be gone before anybody could press the button.
    with site.frozen("-Q mail.bulk"):
        launch(page)
        page.get_by_role("button", name="Pause").click(timeout=90_000)
        expect(page.locator("#messages")).to_contain_text("Paused.")
        expect(page.locator("#progress-state")).to_contain_text("Paus")
    expect(page.locator("#progress-state")).to_contain_text("Paused", timeout=60_000)
    recipients = site.recipients(campaign_id)
    check_equations(page, len(recipients))
    assert len(site.arrivals(word)) < len(recipients)

    page.get_by_role("button", name="Continue sending").click()
    wait_for_all(page)
    check_equations(page, len(recipients))
    assert site.each_got_one(campaign_id, word)
    assert windows.console == []
