"""The first visit: the link from the terminal makes the owner and the site, once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import log_in

pytestmark = pytest.mark.timeout(400)


def test_the_link_from_the_terminal_makes_the_owner_once(windows: Windows, site: Installation) -> None:
    page = windows.open(language="ko")
    log_in(page, site)
    expect(page.locator(".brand-site")).to_have_text("새벽 우편")
    expect(page.get_by_role("link", name="작업 상태")).to_be_visible()
    assert page.goto(site.setup_link).status == 404
