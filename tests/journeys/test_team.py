"""Into the team: invited by mail, a password, two-step log-in, and the next log-in with a code."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import log_in, set_up_two_step
from tests.journeys.test_joining import open_mailed_link

pytestmark = pytest.mark.timeout(400)
NEW_PASSWORD = "correct horse battery"


def test_invited_joined_secured_and_logged_in_with_a_code(windows: Windows, site: Installation, word: str) -> None:
    address, before = f"jiwoo-{word}@example.com", site.newest_mail()
    owner = windows.open(language="ko")
    log_in(owner, site)
    owner.get_by_role("link", name="팀", exact=True).click()
    owner.get_by_role("link", name="초대하기").click()
    owner.locator("#email").fill(address)
    owner.locator("#role").select_option("sender")
    owner.locator("#name").fill("한지우")
    owner.get_by_role("button", name="초대 메일 보내기").click()
    expect(owner.locator("main")).to_contain_text(address)

    invited = windows.open(language="ko", width=390, height=780)
    join = open_mailed_link(invited, site, address, since=before)
    expect(join.locator("main")).to_contain_text("발송자")
    join.locator("#password").fill(NEW_PASSWORD)
    join.get_by_role("button", name="팀에 들어가기").click()
    expect(join.locator("#messages")).to_contain_text("팀에 들어왔습니다")

    phone = windows.open(language="ko", width=390, height=780)
    log_in(phone, site, address=address, password=NEW_PASSWORD)
    app = set_up_two_step(phone, site.url)
    spare = phone.locator(".codes li").first.inner_text()

    desk = windows.open(language="ko")
    desk.goto(f"{site.url}/login")
    desk.locator("#email").fill(address)
    desk.locator("#password").fill(NEW_PASSWORD)
    desk.get_by_role("button", name="로그인").click()
    desk.wait_for_url("**/login/code**")
    # The step after the one that confirmed the set-up: a clock that runs ahead by one step is let in too.
    desk.locator("#code").fill(app.at(time.time() + 30))
    desk.get_by_role("button", name="로그인").click()
    expect(desk.locator("h1")).to_have_text("대시보드")

    elsewhere = windows.open(language="ko")
    elsewhere.goto(f"{site.url}/login")
    elsewhere.locator("#email").fill(address)
    elsewhere.locator("#password").fill(NEW_PASSWORD)
    elsewhere.get_by_role("button", name="로그인").click()
    elsewhere.get_by_role("link", name="복구 코드 쓰기").click()
    elsewhere.locator("#code").fill(spare)
    elsewhere.get_by_role("button", name="로그인").click()
    expect(elsewhere.locator("#messages")).to_contain_text("복구 코드로 로그인했습니다")

    owner.goto(f"{site.url}/team")
    row = owner.locator("tr", has_text=address)
    expect(row).to_contain_text("켜짐")
    expect(row).to_contain_text("발송자")
    assert windows.console == []
