"""Everything a page offers can be used before, or without, its scripts."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

OpenGuide = Callable[..., Page]


def test_the_menu_opens_and_leads_on(open_guide: OpenGuide) -> None:
    page = open_guide("/", width=360, java_script_enabled=False)
    page.click(".menu-button")
    page.get_by_role("link", name="Users").click()
    assert page.url.endswith("/list_users")


def test_a_confirmation_opens_and_is_taken_back(open_guide: OpenGuide) -> None:
    page = open_guide("/", java_script_enabled=False)
    page.get_by_role("button", name="Cancel the rest").click()
    assert page.get_by_role("button", name="Cancel 4,264 messages").is_visible()
    page.get_by_role("button", name="Go back").click()
    assert not page.get_by_role("button", name="Cancel 4,264 messages").is_visible()


def test_a_row_menu_opens(open_guide: OpenGuide) -> None:
    page = open_guide("/", java_script_enabled=False)
    page.get_by_role("button", name="More for 11월 소식").click()
    assert page.get_by_role("link", name="Duplicate").first.is_visible()


def test_the_language_changes_and_the_address_stays(open_guide: OpenGuide) -> None:
    page = open_guide("/?s=sent", java_script_enabled=False)
    page.get_by_role("button", name="한국어").click()
    assert page.url.endswith("/?s=sent")
    assert page.locator("html").get_attribute("lang") == "ko"


def test_the_preview_is_shown_on_request(open_guide: OpenGuide) -> None:
    page = open_guide("/compose", java_script_enabled=False)
    page.get_by_label("Body").fill("Written without scripts")
    page.get_by_role("button", name="Update the preview").click()
    page.frame_locator("iframe[name=preview]").get_by_text("Written without scripts").wait_for()


def test_buttons_that_need_scripts_are_not_offered(open_guide: OpenGuide) -> None:
    page = open_guide("/", java_script_enabled=False)
    assert not page.get_by_role("button", name="Copy").is_visible()
    assert not page.get_by_role("button", name="Show", exact=True).is_visible()
