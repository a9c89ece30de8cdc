"""Bringing in people from a file: every good row is taken, every bad one is named with its number and reason."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.looking import axe_violations
from tests.journeys.steps import log_in

pytestmark = pytest.mark.timeout(400)

ROWS = """이메일,이름,언어,city
dawn-WORD@example.com,새벽,ko,서울
not an address,누구,ko,부산
noon-WORD@example.com,정오,ko,대구
dawn-WORD@example.com,새벽 둘,ko,서울
evening-WORD@example.com,저녁,en,
"""


def test_import_a_file_with_bad_rows_twice(windows: Windows, site: Installation, word: str) -> None:
    page, rows = windows.open(language="ko"), ROWS.replace("WORD", word).encode("cp949")
    log_in(page, site)
    upload(page, site, rows)
    table = page.locator(".table-card").first
    expect(table).to_contain_text("not an address", timeout=60_000)
    expect(page.locator("#import .badge").first).not_to_contain_text("중", timeout=60_000)
    assert "3" in table.locator("tbody tr").first.locator("th").inner_text()
    total, added, updated, unchanged, refused, *_ = numbers_of(page)
    assert (total, added) == (5, 3)
    assert total == added + updated + unchanged + refused
    assert axe_violations(page) == []

    upload(page, site, rows)
    expect(page.locator("#import .badge").first).not_to_contain_text("중", timeout=60_000)
    expect(page.locator(".equation b").nth(0)).to_have_text("5", timeout=60_000)
    assert numbers_of(page)[:2] == [5, 0]
    page.goto(f"{site.url}/users?q=evening-{word}@example.com")
    expect(page.locator("main")).to_contain_text("저녁")
    assert windows.console == []


def test_a_file_without_addresses_is_refused_with_the_reason(windows: Windows, site: Installation) -> None:
    page = windows.open(language="ko")
    log_in(page, site)
    upload(page, site, b"a,b\n1,2\n")
    expect(page.locator(".notice.bad:visible")).to_be_visible(timeout=60_000)


def upload(page: Page, site: Installation, content: bytes) -> None:
    """Choose the file and press the button; ends on the page of the import."""
    page.goto(f"{site.url}/imports/new")
    page.locator("input[type=file]").set_input_files({"name": "회원.csv", "mimeType": "text/csv", "buffer": content})
    page.locator("main form button.primary").click()
    page.wait_for_url(lambda url: url.rsplit("/", 1)[-1].isdigit())


def numbers_of(page: Page) -> list[int]:
    """Return the numbers of the equation on the page."""
    return [int(each.inner_text().replace(",", "")) for each in page.locator(".equation b").all()]
