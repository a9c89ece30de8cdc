"""What a person does on the pages, in either language; every step ends on the page it leads to."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyotp
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation, first_people
from tests.people import PASSWORD

OWNER = "owner@example.org"
MOST_LAUNCHES = 5
READ_EQUATIONS = """(main) => [...main.querySelectorAll(".equation .terms")].map((equation) =>
  [...equation.querySelectorAll("b")].map((term) => Number(term.innerText.replaceAll(",", ""))))"""
BODY = """# 12월 소식

{{ name | default: "회원" }}님, 안녕하세요.

- **새 요금제**가 나왔습니다.
- [자세히](https://example.com/news)
"""


def set_up(windows: Windows, site: Installation) -> None:
    """Make the owner and the site at the first visit, as the link in the terminal leads to it; once."""
    done = site.folder / "set-up-by-journeys"
    with site.alone("set up"):
        if not done.exists():
            _set_up(windows, site)
            done.touch()


def _set_up(windows: Windows, site: Installation) -> None:
    page = windows.open(language="ko")
    page.goto(f"{site.url}/")
    page.goto(site.setup_link)
    fields = {
        "email": OWNER,
        "password": PASSWORD,
        "name": "김하늘",
        "site_name": "새벽 우편",
        "sender_address": "news@example.org",
        "postal_address": "서울특별시 중구 세종대로 110",
    }
    for name, value in fields.items():
        page.locator(f"#{name}").fill(value)
    page.locator("main form button.primary").click()
    expect(page.locator("#messages")).to_contain_text("새벽 우편")
    expect(page.locator(".account-button")).to_contain_text("김하늘")
    first_people(site)


def log_in(page: Page, site: Installation, *, address: str = OWNER, password: str = PASSWORD) -> None:
    """Log in through the form."""
    page.goto(f"{site.url}/login")
    page.locator("#email").fill(address)
    page.locator("#password").fill(password)
    page.locator("main form button.primary").click()
    page.wait_for_url(lambda url: "/login" not in url)


def set_up_two_step(page: Page, url: str, *, confirm: bool = True) -> pyotp.TOTP:
    """Set up two-step log-in as an app that was given the key by hand; ends on the page of the recovery codes."""
    page.goto(f"{url}/account/two-step")
    page.locator("#password").fill(PASSWORD)
    page.locator("main form button.primary").click()
    key = page.locator(".key-values dd").first.inner_text().replace(" ", "")
    app = pyotp.TOTP(key)
    if confirm:
        page.locator("#code").fill(app.now())
        page.locator("main form button.primary").click()
        expect(page.locator(".codes li")).to_have_count(10)
    return app


def write_campaign(page: Page, site: Installation, *, subject: str) -> int:
    """Write a new campaign, without saving it; returns its id."""
    page.goto(f"{site.url}/campaigns")
    page.locator("main form[action$='/campaigns/new'] button").first.click()
    page.wait_for_url("**/edit")
    page.locator("#subject").fill(f'{{{{ name | default: "회원" }}}}님, {subject}')
    page.locator("#preheader").fill("달라지는 것 세 가지")
    page.locator("#body").fill(BODY)
    found = re.search(r"/campaigns/(\d+)/", page.url)
    assert found
    return int(found[1])


def confirm_by_mouse(page: Page, people: str) -> None:
    """Fill in the number and press the button."""
    page.locator("#confirm").fill(people)
    page.locator(".launch-form button.primary").click()


def launch(page: Page, confirm: Callable[[Page, str], None] = confirm_by_mouse) -> None:
    """Type the number of people on the launch page and send, until not too many came or went in between.

    Other journeys run beside this one: until the ledger is frozen, people may still join and leave. It has to end, for
    some hold a worker still meanwhile.
    """
    page.wait_for_url("**/launch")
    for _attempt in range(MOST_LAUNCHES):
        with page.expect_navigation():
            confirm(page, page.locator(".launch-figure b").inner_text().replace(",", ""))
        if not page.url.endswith("/launch"):
            break
    assert page.url.endswith("/progress")


def wait_for_all(page: Page, *, reload: bool = False) -> None:
    """Wait on the progress page until everybody has an outcome."""
    for _attempt in range(240):
        if page.title().startswith("100% – ") and page.locator(".hero.over").count():
            return
        page.wait_for_timeout(1_000)
        if reload:
            page.reload()
    expect(page).to_have_title(re.compile("^100% – "), timeout=1)


def check_equations(page: Page, recipients: int) -> None:
    """Check that the sums on the page are right, for that many recipients."""
    equations = page.locator(".equation .terms")
    expect(equations).to_have_count(2)
    # All at one moment: the page may be brought up to date between two looks.
    rows = page.locator("main").evaluate(READ_EQUATIONS)
    for total, *terms in rows:
        assert total == sum(terms), rows
    assert rows[1][0] == recipients
    assert page.locator(".balance.ok").count() == 1
