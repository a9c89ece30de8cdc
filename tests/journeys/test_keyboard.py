"""Logging in, writing and launching with nothing but a keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.serving import PreparedSite
from tests.journeys.steps import launch
from tests.people import PASSWORD

pytestmark = pytest.mark.timeout(400)

MOST_STEPS = 60
IS_SEEN = """(element) => {
  const box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height, 40) / 2);
  return !!top && (element.contains(top) || top.contains(element) || element.labels?.[0]?.contains(top));
}"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until the element has the focus, and check that it can be seen there."""
    wanted.wait_for()
    for _step in range(MOST_STEPS):
        if wanted.evaluate("element => element === document.activeElement"):
            assert wanted.evaluate(IS_SEEN), "the focus is hidden"
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{wanted} cannot be reached with Tab")


def test_log_in_write_and_launch_by_keyboard(windows: Windows, site: Installation, word: str) -> None:
    page = windows.open(language="en")
    page.goto(f"{site.url}/login")
    tab_to(page, page.get_by_label("E-mail"))
    page.keyboard.type("keyes@example.com")
    tab_to(page, page.locator("#password"))
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Create campaign"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/edit")
    tab_to(page, page.locator("#subject"))
    page.keyboard.type(f"소식 {word}")
    tab_to(page, page.locator("#body"))
    page.keyboard.type("Hello.")
    tab_to(page, page.get_by_role("button", name="Go to checks"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/check")
    tab_to(page, page.get_by_role("link", name="Continue to sending"))
    page.keyboard.press("Enter")

    with site.frozen("-Q work"):  # which ends the hold
        launch(page, confirm_by_keyboard)
        tab_to(page, page.get_by_role("button", name="Take it back"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/edit")
    assert site.arrivals(word) == {}
    assert windows.console == []


def confirm_by_keyboard(page: Page, people: str) -> None:
    tab_to(page, page.locator("#confirm"))
    page.keyboard.type(people)
    tab_to(page, page.locator(".launch-form button.primary"))
    page.keyboard.press("Enter")


def test_a_dialog_opened_from_a_menu_gives_the_focus_back(windows: Windows, prepared_site: PreparedSite) -> None:
    page = windows.open(language="en")
    page.goto(f"{prepared_site.url}/login")
    page.get_by_label("E-mail").fill("owner@example.com")
    page.locator("#password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.goto(f"{prepared_site.url}/campaigns?tab=draft")

    opener = page.locator(".btn.menu").first
    tab_to(page, opener)
    page.keyboard.press("Enter")
    delete = page.locator(".menu-item.danger").first
    tab_to(page, delete)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Go back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(delete).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
