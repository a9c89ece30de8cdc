"""What the scripts add: modal dialogs, autosave, a preview while typing, polling that announces and ends."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

OpenGuide = Callable[..., Page]


def test_a_dialog_is_modal_starts_on_the_safe_button_and_gives_the_focus_back(open_guide: OpenGuide) -> None:
    page = open_guide("/")
    opener = page.get_by_role("button", name="Cancel the rest")
    opener.click()
    assert page.evaluate("document.querySelector('dialog').matches(':modal')")
    expect(page.get_by_role("button", name="Go back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    opener.click()
    page.get_by_role("button", name="Go back").click()
    expect(page.locator("dialog")).to_be_hidden()


def test_the_summary_of_errors_has_the_focus_and_leads_to_the_field(open_guide: OpenGuide) -> None:
    page = open_guide("/?errors=1")
    expect(page.locator("#error-summary")).to_be_focused()
    assert page.title().startswith("Error: ")
    page.get_by_role("link", name="Choose when").click()
    expect(page.locator("#when-0")).to_be_focused()
    assert page.locator("#subject").get_attribute("aria-invalid") == "true"
    assert page.locator("#subject").get_attribute("aria-describedby") == "subject-hint subject-error"


def test_the_theme_is_kept(open_guide: OpenGuide) -> None:
    page = open_guide("/", color_scheme="light")
    page.click(".account-button")
    page.get_by_role("button", name="Dark").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(14, 21, 27)"


def test_the_composer_saves_after_a_pause_and_shows_the_preview(open_guide: OpenGuide) -> None:
    page = open_guide("/compose")
    page.get_by_label("Body").fill("Hello again")
    expect(page.locator("[data-save-status]")).to_have_text("Saved 14:03")
    assert page.locator("input[name=version]").input_value() == "2"
    expect(page.locator("iframe.preview-frame")).to_have_count(1)
    page.frame_locator("iframe.preview-frame").get_by_text("Hello again").wait_for()
    assert page.evaluate("refused") == []


def test_the_counter_counts_an_emoji_once_and_leaves_merge_fields_out_as_the_checks_do(open_guide: OpenGuide) -> None:
    page = open_guide("/compose")
    page.fill("#subject", '{{ name | default: "friend" }}: 👩‍👩‍👧 news')
    expect(page.locator("[data-counter=subject]")).to_have_text("8 characters")


def test_a_merge_field_goes_to_the_cursor(open_guide: OpenGuide) -> None:
    page = open_guide("/compose")
    body = page.get_by_label("Body")
    body.fill("Dear , hello")
    body.evaluate("e => e.setSelectionRange(5, 5)")
    page.get_by_role("button", name="Insert merge field").click()
    page.get_by_role("button", name="name", exact=True).click()
    assert body.input_value() == "Dear {{ name }}, hello"
    expect(body).to_be_focused()


def test_a_conflict_is_said_and_the_text_stays(open_guide: OpenGuide) -> None:
    page = open_guide("/compose")
    page.get_by_label("Subject").fill("conflict")
    expect(page.locator("[data-conflict]")).to_be_visible()
    expect(page.locator("[data-save-status]")).to_have_attribute("role", "alert")
    assert page.get_by_label("Subject").input_value() == "conflict"


def test_a_save_that_does_not_arrive_is_said(open_guide: OpenGuide) -> None:
    page = open_guide("/compose")
    page.route("**/save", lambda route: route.abort())
    page.get_by_label("Body").fill("Hello again")
    expect(page.locator("[data-save-status]")).to_have_text("Not saved. Your text is still here.")


def test_a_live_part_fetches_itself_announces_and_ends(open_guide: OpenGuide) -> None:
    page = open_guide("/live?start=1")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if request.headers.get("hx-request") else None)
    expect(page.locator("#progress .note")).to_have_text("100%")
    expect(page.locator("[data-live-status]")).to_have_text("100% sent")
    assert page.title() == "100% – November · Carillon"
    seen = len(polls)
    page.wait_for_timeout(2500)
    assert len(polls) == seen == 3
    assert page.evaluate("refused") == []


def test_three_failed_polls_are_said_and_the_numbers_stay(open_guide: OpenGuide) -> None:
    page = open_guide("/")
    page.route("**/live", lambda route: route.fulfill(status=503, body="away"))
    page.goto(page.url.rstrip("/") + "/live?start=1")
    expect(page.locator("[data-live-lost]")).to_be_visible()
    assert page.locator("#progress .note").inner_text() == "30%"


def test_a_form_on_its_way_says_so(open_guide: OpenGuide) -> None:
    page = open_guide("/")
    page.evaluate("addEventListener('submit', (event) => event.preventDefault())")
    page.get_by_role("button", name="Send to 12,480 people").click()
    expect(page.locator("[aria-busy=true]")).to_have_text("Sending…")
