"""The switch of the language: at the log-in page, kept through the log-in, and back again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.looking import words_left_in_english
from tests.journeys.steps import log_in

pytestmark = pytest.mark.timeout(400)


def switch(page: Page, to: str) -> None:
    """Press the switch, which stands in its own language; the page stays the same."""
    before = page.url
    page.get_by_role("button", name=to).click()
    page.wait_for_url(before)


def test_switch_the_language_and_back(windows: Windows, site: Installation, word: str) -> None:
    site.add_user(address := f"switcher-{word}@example.com", role="viewer", name="Sam")
    page = windows.open(language="en")
    page.goto(f"{site.url}/login?next=/campaigns")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    switch(page, "한국어")
    expect(page.locator("h1")).to_have_text("로그인")
    log_in(page, site, address=address)
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    assert words_left_in_english(page) == []
    page.goto(f"{site.url}/campaigns?tab=sent")
    switch(page, "English")
    expect(page.locator("h1")).to_have_text("Campaigns")

    elsewhere = windows.open(language="ko")
    log_in(elsewhere, site, address=address)
    expect(elsewhere.locator("html")).to_have_attribute("lang", "ko")
