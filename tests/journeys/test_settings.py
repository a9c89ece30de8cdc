"""An owner changes settings in the browser, sends a test mail, and two people launch together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import Windows
from tests.journeys.looking import axe_violations, faults_of_the_document, faults_of_the_width, words_left_in_english
from tests.journeys.serving import PreparedSite, serve_prepared_site
from tests.parts import RedisServer, run_queued_tasks
from tests.people import PASSWORD
from tests.smtp_sink import Sink


@pytest.fixture
def own_site(redis_server: RedisServer, sqlite_template: Path, tmp_path: Path) -> Iterator[PreparedSite]:
    """A prepared site of this test's own: others see theirs in trial mode."""
    yield from serve_prepared_site(redis_server, sqlite_template, tmp_path)


def log_in(page: Page, site: PreparedSite, name: str) -> None:
    page.goto(f"{site.url}/login")
    page.locator("#email").fill(f"{name}@example.com")
    page.locator("#password").fill(PASSWORD)
    page.locator("main form button.primary").click()
    page.wait_for_url(lambda now: "/login" not in now)


def look_at(page: Page, language: str) -> None:
    faults = faults_of_the_document(page, language)
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        faults += [f"{width}: {fault}" for fault in (*faults_of_the_width(page), *axe_violations(page))]
    if language == "ko":
        faults += [f"not Korean: {words}" for words in words_left_in_english(page)]
    assert faults == [], page.url


@pytest.mark.parametrize("language", ["ko", "en"])
def test_an_owner_sets_limits_and_mail_servers(
    windows: Windows, own_site: PreparedSite, sink: Sink, language: str
) -> None:
    page = windows.open(language=language)
    page.context.add_cookies([{"name": "language", "value": language, "url": own_site.url}])
    log_in(page, own_site, "owner")
    expect(page.locator(".trial")).to_be_visible()
    page.goto(f"{own_site.url}/settings")
    page.locator('a[href="/settings/rates"]').click()
    page.locator("#rate_per_second").fill("fast")
    page.locator("main form button.primary").click()
    expect(page.locator("#error-summary")).to_be_focused()
    page.locator("#rate_per_second").fill("2")
    page.locator("main form button.primary").click()
    expect(page.locator("#messages .notice.ok")).to_be_visible()
    expect(page.locator("main .notice.info")).to_contain_text(re.compile(r"1\d ?(초|seconds)"))  # some 30 people

    page.locator('a[href="/settings/mail"]').click()
    page.locator('a[href="/settings/mail/add"]').click()
    page.locator("#host").fill("127.0.0.1")
    page.locator("#tls-2").check()
    page.locator("#port").fill(str(sink.port))
    page.locator("main form button.primary").click()
    expect(page.locator(".trial")).to_have_count(0)
    page.locator('a[href="/settings/mail/0"]').click()
    expect(page.locator("#password")).to_have_value("")
    look_at(page, language)
    page.goto(f"{own_site.url}/settings/mail")
    look_at(page, language)

    page.locator('form[action="/settings/mail/0/test"] button').click()
    page.wait_for_url("**/settings/mail/tests/*")
    look_at(page, language)  # nobody has taken it up yet
    assert run_queued_tasks(own_site.app, ["mail.now"]) == ["settings.run_check"]
    expect(page.locator("main .notice.ok")).to_contain_text("owner@example.com")
    expect(page.locator("main")).to_contain_text("RCPT TO:<owner@example.com>")
    assert len(sink.to("owner@example.com")) == 1
    look_at(page, language)

    page.goto(f"{own_site.url}/settings/mail/0/remove")
    look_at(page, language)
    page.locator("main form button.danger").click()
    expect(page.locator("#error-summary")).to_be_focused()
    page.locator("#understood").check()
    page.locator("main form button.danger").click()
    expect(page.locator("#error-summary")).to_be_focused()  # for campaigns are under way
    look_at(page, language)
    expect(page.locator(".trial")).to_have_count(0)
    assert windows.console == [] or all("status of 422" in line for line in windows.console)


def test_two_people_launch_together(windows: Windows, own_site: PreparedSite) -> None:
    """The owner asks for it to be so, a sender asks, and the admin approves."""
    owner, sender, admin = (windows.open(language="ko") for _ in range(3))
    log_in(owner, own_site, "owner")
    owner.goto(f"{own_site.url}/settings/safety")
    owner.locator("#approve_from").fill("10")
    owner.locator("main form button.primary").click()
    expect(owner.locator("#messages .notice.ok")).to_be_visible()

    log_in(sender, own_site, "sender")
    sender.goto(f"{own_site.url}/campaigns/{own_site.found['draft']}/launch")
    people = sender.locator("#counted").input_value()
    sender.locator("#confirm").fill(people)
    sender.locator("main form button.primary").click()
    expect(sender.locator("#progress-state")).to_contain_text("승인 대기")

    log_in(admin, own_site, "admin")
    admin.goto(own_site.url)
    admin.locator(f'a[href="/campaigns/{own_site.found["draft"]}/approval"]').click()
    admin.locator("#confirm").fill(people)
    admin.locator("main form button.primary").click()
    expect(admin.locator("#progress-state")).to_contain_text("곧 보냄")
