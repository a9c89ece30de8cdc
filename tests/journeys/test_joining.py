"""Joining and coming back: sign up, confirm, log in; forget the password, choose a new one."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation
from tests.journeys.steps import log_in
from tests.people import PASSWORD

pytestmark = pytest.mark.timeout(400)


def open_mailed_link(page: Page, site: Installation, address: str, *, since: int) -> Page:
    """Open the newest mail to the address in the inbox, and its link in a window of its own, as the frame does."""
    mail = site.wait_for_mail(address, since=since)
    page.goto(f"{site.url}/inbox?q={address}")
    page.locator(f"a[href='/inbox/{mail}']").click()
    frame = page.locator("iframe.preview-frame").content_frame
    with page.context.expect_page() as opened:
        frame.locator("a[href*='/verify/'], a[href*='/password/reset/'], a[href*='/invite/']").first.click()
    opened.value.wait_for_load_state()
    return opened.value


def test_sign_up_confirm_and_log_in(windows: Windows, site: Installation, word: str) -> None:
    address, before = f"sora-{word}@example.com", site.newest_mail()
    page = windows.open(language="ko", width=360, height=780)
    page.goto(f"{site.url}/signup")
    page.locator("#email").fill(address)
    page.locator("#password").fill(PASSWORD)
    page.locator("#name").fill("윤소라")
    page.get_by_role("button", name="회원가입").click()
    expect(page.locator("h1")).to_have_text("메일함을 확인하세요")
    expect(page.locator("main")).to_contain_text(address)

    confirm = open_mailed_link(page, site, address, since=before)
    expect(confirm.locator("main")).to_contain_text(address)
    confirm.get_by_role("button", name="이메일 확인").click()
    expect(confirm.locator("#messages, h1").first).to_be_visible()

    elsewhere = windows.open(language="ko")
    log_in(elsewhere, site, address=address)
    expect(elsewhere.locator("h1")).to_have_text("내 계정")
    expect(elsewhere.locator("main")).to_contain_text(address)
    assert windows.console == []


def test_forget_the_password_and_choose_a_new_one(windows: Windows, site: Installation, word: str) -> None:
    address, before = f"forgetful-{word}@example.com", site.newest_mail()
    site.add_user(address, name="Fay", language="en")
    at_home, on_the_road = windows.open(language="en"), windows.open(language="en")
    log_in(at_home, site, address=address)

    on_the_road.goto(f"{site.url}/login")
    on_the_road.get_by_role("link", name="Forgot your password?").click()
    on_the_road.locator("#email").fill(address)
    on_the_road.get_by_role("button", name="Send the link").click()
    expect(on_the_road.locator("h1")).to_have_text("Check your inbox")
    choose = open_mailed_link(on_the_road, site, address, since=before)
    choose.locator("#password").fill("a brand new pass phrase")
    choose.get_by_role("button", name="Set the password").click()
    choose.wait_for_url(re.compile(r"/(login|account|$)"))

    at_home.goto(f"{site.url}/account")
    expect(at_home.locator("h1")).to_have_text("Log in")
    at_home.locator("#email").fill(address)
    at_home.locator("#password").fill(PASSWORD)
    at_home.get_by_role("button", name="Log in").click()
    expect(at_home.get_by_role("alert").first).to_contain_text("Not logged in")
    log_in(at_home, site, address=address, password="a brand new pass phrase")
    expect(at_home.locator("h1")).to_have_text("Your account")
