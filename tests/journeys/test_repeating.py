"""Having a campaign repeated: choose a rule, see the next dates, watch one go out by itself, leave one out, end it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from campaigns.delivery.models import Recurrence
from campaigns.extensions import db
from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.looking import axe_violations
from tests.journeys.steps import log_in, write_campaign

pytestmark = pytest.mark.timeout(500)


def test_repeat_a_campaign_watch_one_date_leave_one_out_and_end_it(
    windows: Windows, site: Installation, word: str
) -> None:
    page = windows.open(language="ko", width=390, height=844)
    log_in(page, site)
    campaign_id = write_campaign(page, site, subject=f"매일 소식 {word}")
    page.get_by_role("button", name="점검으로 이동").click()
    page.wait_for_url("**/check")
    page.goto(f"{site.url}/campaigns/{campaign_id}/launch")
    page.get_by_role("link", name="규칙을 정해 반복해서 보내기").click()
    page.wait_for_url("**/repeat")
    refuse_a_wrong_rule(page)

    page.get_by_label("매일", exact=True).check()
    page.locator("#zone").select_option("UTC")
    just_now = datetime.now(UTC).replace(second=0, microsecond=0)
    page.locator("#clock").fill(f"{just_now:%H:%M}")
    page.locator("main form button.primary").click()
    expect(page.locator("#messages")).to_contain_text("저장했습니다")
    expect(page.get_by_role("heading", name=f"매일 {just_now:%H:%M}")).to_be_visible()
    expect(page.locator(".plain-list li")).to_have_count(5)
    assert axe_violations(page) == []

    let_come(site, campaign_id, just_now + timedelta(days=1))
    wait_until_sent(page)
    numbers = page.locator("td.n")
    recipients, sent = (int(numbers.nth(index).inner_text().replace(",", "")) for index in (0, 1))
    assert sent > 0
    assert recipients - sent in (0, 1)  # somebody unsubscribes in another journey, in the middle of this perhaps
    assert len(site.arrivals(word)) == sent
    assert set(site.arrivals(word).values()) == {1}

    page.get_by_role("button", name="다음 날짜 건너뛰기").click()
    expect(page.locator("table")).to_contain_text("건너뜀")
    page.goto(f"{site.url}/campaigns")
    expect(page.locator("tr").filter(has_text="반복 발송").first).to_contain_text(word)
    page.goto(f"{site.url}/campaigns/{campaign_id}/repeat")
    page.get_by_role("button", name="반복 끝내기").click()
    page.locator("#end-repetition").get_by_role("button", name="반복 끝내기").click()
    expect(page.locator("#messages")).to_contain_text("반복을 끝냈습니다")
    assert page.evaluate("refused") == []
    # A form that is refused answers 422, which the console calls an error.
    assert [line for line in windows.console if "422" not in line] == []


def refuse_a_wrong_rule(page: Page) -> None:
    """A rule that would send every five minutes is refused, with what was typed."""
    page.get_by_label("직접 쓴 규칙으로").check()
    expect(page.locator("#clock")).to_be_hidden()
    page.locator("#expression").fill("*/5 * * * *")
    page.locator("main form button.primary").click()
    expect(page.locator("#expression-error")).to_contain_text("하루에 한 번까지만")
    expect(page.locator("#expression")).to_have_value("*/5 * * * *")


def let_come(site: Installation, campaign_id: int, first_date: datetime) -> None:
    """Let the first date come, after a look that it is the right one: the day until then has passed."""

    def put_back() -> datetime | None:
        recurrence = db.session.execute(select(Recurrence).where(Recurrence.campaign_id == campaign_id)).scalar_one()
        planned_at, recurrence.next_at = recurrence.next_at, first_date - timedelta(days=1)
        db.session.commit()
        return planned_at

    assert site.ask(put_back) == first_date


def wait_until_sent(page: Page) -> None:
    """Load the page again until the date that came has been sent to everybody."""
    for _attempt in range(200):
        page.wait_for_timeout(1_000)
        page.reload()
        badges = page.locator("table .badge")
        if badges.count() and badges.first.inner_text() == "보냄":
            return
    expect(page.locator("table .badge").first).to_have_text(re.compile("^보냄$"), timeout=1)
