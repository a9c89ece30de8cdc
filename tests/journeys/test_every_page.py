"""Every page that a role can reach, at three widths, in both languages, by day and by night."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from tests.journeys.browsing import Windows
from tests.journeys.conftest import with_pictures
from tests.journeys.looking import (
    axe_violations,
    faults_of_the_document,
    faults_of_the_width,
    words_left_in_english,
)
from tests.journeys.serving import PreparedSite
from tests.journeys.steps import set_up_two_step
from tests.people import PASSWORD

# Who opens it, and where; the braces are filled in from the prepared site.
PAGES = {
    "log in": ("", "/login"),
    "sign up": ("", "/signup"),
    "signed up": ("", "/signup/sent"),
    "forgot": ("", "/password/forgot"),
    "forgot, sent": ("", "/password/forgot/sent"),
    "choose a password": ("", "/password/reset/{reset}"),
    "choose a password, bad link": ("", "/password/reset/nothing"),
    "confirm": ("", "/verify/{verify}"),
    "confirm, bad link": ("", "/verify/nothing"),
    "another confirmation": ("", "/verify"),
    "invitation": ("", "/invite/{invitation}"),
    "invitation, bad link": ("", "/invite/nothing"),
    "enter the code": ("halfway", "/login/code"),
    "enter a recovery code": ("halfway", "/login/recovery-code"),
    "account deleted": ("", "/account/deleted"),
    "unsubscribe": ("", "/p/u/{unsubscribe}"),
    "unsubscribe, bad link": ("", "/p/u/nothing"),
    "tracked link, bad link": ("", "/c/nothing/1"),
    "link of a test": ("", "/p/test-link"),
    "inbox": ("", "/inbox"),
    "inbox, nothing found": ("", "/inbox?q=nobody-has-this"),
    "mail": ("", "/inbox/{mail}"),
    "mail, source": ("", "/inbox/{mail}?view=source"),
    "mail, text": ("", "/inbox/{mail}?view=text"),
    "not found": ("", "/no-such-page"),
    "account": ("nobody", "/account"),
    "two-step log-in, off": ("nobody", "/account/two-step"),
    "two-step log-in, offered": ("admin", "/account/two-step"),
    "two-step log-in, on": ("sender", "/account/two-step"),
    "change the address": ("nobody", "/account/address"),
    "new address": ("", "/account/address/{address}"),
    "new address, bad link": ("", "/account/address/nothing"),
    "delete the account": ("nobody", "/account/delete"),
    "not allowed": ("nobody", "/campaigns"),
    "dashboard": ("owner", "/"),
    "campaigns": ("owner", "/campaigns"),
    "campaigns, archived": ("owner", "/campaigns?tab=archived"),
    "campaigns, nothing found": ("owner", "/campaigns?q=nothing-like-it"),
    "composer": ("owner", "/campaigns/{draft}/edit"),
    "composer, mistakes": ("owner", "/campaigns/{broken}/edit"),
    "check": ("owner", "/campaigns/{draft}/check"),
    "check, blocked": ("owner", "/campaigns/{empty}/check"),
    "test": ("owner", "/campaigns/{draft}/test"),
    "launch": ("owner", "/campaigns/{draft}/launch"),
    "repeat": ("owner", "/campaigns/{draft}/repeat"),
    "repeat, underway": ("owner", "/campaigns/{repeated}/repeat"),
    "launch, blocked": ("owner", "/campaigns/{broken}/launch"),
    "launched content": ("owner", "/campaigns/{sent}"),
    "approval": ("owner", "/campaigns/{asked}/approval"),
    "progress, waiting for approval": ("owner", "/campaigns/{asked}/progress"),
    "progress, scheduled": ("owner", "/campaigns/{scheduled}/progress"),
    "progress, held": ("owner", "/campaigns/{held}/progress"),
    "progress, preparing": ("owner", "/campaigns/{preparing}/progress"),
    "progress, sending": ("owner", "/campaigns/{sending}/progress"),
    "progress, paused": ("owner", "/campaigns/{paused}/progress"),
    "progress, stopped by the engine": ("owner", "/campaigns/{stopped}/progress"),
    "progress, sent": ("owner", "/campaigns/{sent}/progress"),
    "progress, cancelled": ("owner", "/campaigns/{cancelled}/progress"),
    "cancel": ("owner", "/campaigns/{sending}/cancel"),
    "send all again": ("owner", "/campaigns/{unsure}/after/send-again"),
    "uncertain": ("owner", "/campaigns/{unsure}/uncertain"),
    "send one again": ("owner", "/campaigns/{unsure}/uncertain/1/send-again"),
    "launch, late": ("owner", "/campaigns/{late}/launch-late"),
    "progress, late": ("owner", "/campaigns/{late}/progress"),
    "copied database": ("owner", "/copied-database"),
    "report": ("owner", "/campaigns/{unsure}/report"),
    "report, links": ("owner", "/campaigns/{failed}/report/links"),
    "report, links of an untracked campaign": ("owner", "/campaigns/{sent}/report/links"),
    "report, untracked": ("owner", "/campaigns/{sent}/report"),
    "report, failures": ("owner", "/campaigns/{failed}/report/failures"),
    "report, domains": ("owner", "/campaigns/{failed}/report/domains"),
    "report, people": ("owner", "/campaigns/{failed}/report/people"),
    "report, one person": ("owner", "/campaigns/{failed}/report/people?q=person3@example.com"),
    "report, one mail": ("owner", "/campaigns/{failed}/report/people/1"),
    "report, somebody who clicked": ("owner", "/campaigns/{failed}/report/people/9"),
    "report, content": ("owner", "/campaigns/{failed}/report/content"),
    "users": ("owner", "/users"),
    "users, found everywhere": ("owner", "/users?q=person1&where=everywhere"),
    "users, nothing found": ("owner", "/users?q=nobody-has-this"),
    "users, unsubscribed": ("owner", "/users?state=unsubscribed"),
    "user": ("owner", "/users/{user}"),
    "user, long": ("owner", "/users/{long}"),
    "user, suppressed": ("owner", "/users/{suppressed}"),
    "new user": ("owner", "/users/new"),
    "delete a user": ("owner", "/users/{long}/delete"),
    "imports": ("owner", "/imports"),
    "import, done": ("owner", "/imports/{imported}"),
    "import, running": ("owner", "/imports/{importing}"),
    "import, failed": ("owner", "/imports/{not_imported}"),
    "new import": ("owner", "/imports/new"),
    "mails of a user": ("owner", "/users/{user}/mails"),
    "team": ("owner", "/team"),
    "roles": ("owner", "/team/roles"),
    "invite": ("owner", "/team/invite"),
    "member": ("owner", "/team/{member}"),
    "member, deactivated": ("owner", "/team/{deactivated}"),
    "jobs": ("owner", "/jobs"),
    "schedule": ("owner", "/jobs/schedule"),
    "activity log": ("owner", "/audit"),
    "activity log, nothing found": ("owner", "/audit?actor=nobody@example.com"),
    "settings": ("owner", "/settings"),
    "settings, general": ("owner", "/settings/general"),
    "settings, sender": ("owner", "/settings/senders"),
    "settings, tracking": ("owner", "/settings/tracking"),
    "settings, rates": ("owner", "/settings/rates"),
    "settings, log-in": ("owner", "/settings/logins"),
    "settings, mail servers": ("owner", "/settings/mail"),
    "settings, test mail": ("owner", "/settings/mail/tests/{tested}"),
    "settings, new mail server": ("owner", "/settings/mail/add"),
    "failed task": ("owner", "/jobs/failed/1"),
    "users of a viewer": ("viewer", "/users"),
    "dashboard of a viewer": ("viewer", "/"),
    "campaigns of a viewer": ("viewer", "/campaigns"),
    "report of a viewer": ("viewer", "/campaigns/{failed}/report/people"),
}
# Parts of pages, files, answers for machines, and what only a new site shows.
NOT_PAGES = {
    "accounts.set_up",
    "audience.import_live",
    "audience.import_problems_file",
    "audience.sample_file",
    "audit.entries_file",
    "compose.download_message",
    "compose.preview_campaign",
    "compose.show_test_results",
    "delivery.launch_when",
    "ops.admit_to_flower",
    "ops.healthz",
    "ops.inbox_html",
    "ops.inbox_raw",
    "ops.metrics",
    "ops.readyz",
    "reports.dashboard_running",
    "reports.domains_file",
    "reports.failures_file",
    "reports.links_file",
    "reports.people_file",
    "reports.progress_live",
    "settings.change_server",  # looked at in tests/settings: the prepared site has none, for it is in trial mode
    "settings.remove_server",
    "settings.domain_records",
    "static",
    "tracking.opening_picture",
}
LANGUAGES = ("ko", "en")
NIGHT_AND_DAY: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
# Pages whose own answer the browser's console calls an error.
REFUSED = {"not found": 404, "not allowed": 403, "unsubscribe, bad link": 404}


@pytest.fixture(scope="module")
def logged_in(chromium: Browser, prepared_site: PreparedSite) -> dict[str, list[dict[str, str]]]:
    """The cookies of one log-in of each role."""
    cookies = {"": []}
    for role in ("nobody", "owner", "viewer", "admin", "sender"):
        context = chromium.new_context()
        page = context.new_page()
        _log_in(page, prepared_site.url, f"{role}@example.com")
        if role in ("admin", "sender"):
            set_up_two_step(page, prepared_site.url, confirm=role == "sender")
        cookies[role] = [each for each in context.cookies() if each["name"] != "language"]
        context.close()
    return cookies


@pytest.fixture(scope="module")
def kept_windows(chromium: Browser) -> Iterator[Windows]:
    """A window for each language: to open one for each page takes longer than to look at the page."""
    kept = Windows(chromium)
    for language in LANGUAGES:
        kept.open(language=language)
    yield kept
    kept.close()


@pytest.fixture
def windows(kept_windows: Windows, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Windows]:
    """The kept windows, as good as new."""
    kept_windows.forget()
    yield from with_pictures(kept_windows, request, tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_clean_at_every_width(
    windows: Windows, prepared_site: PreparedSite, logged_in: dict[str, list], name: str, language: str
) -> None:
    role, path = PAGES[name]
    page = windows.contexts[LANGUAGES.index(language)].pages[0]
    page.emulate_media(color_scheme=NIGHT_AND_DAY[(list(PAGES).index(name) + (language == "en")) % 2])
    page.set_viewport_size({"width": 320, "height": 900})
    # A page that a mail leads to speaks the mail's language, unless its reader has chosen another.
    chosen = {"name": "language", "value": language, "url": prepared_site.url}
    page.context.add_cookies([*logged_in.get(role, []), chosen])
    if role == "halfway":  # waits for its code too shortly to be shared
        _enter_password(page, prepared_site.url, "halfway@example.com")
    answer = page.goto(prepared_site.url + path.format(**prepared_site.found))
    assert answer is not None
    assert answer.status == REFUSED.get(name, answer.status if "bad link" in name else 200)

    faults = faults_of_the_document(page, language)
    for width in (320, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        faults += [f"{width}: {fault}" for fault in faults_of_the_width(page)]
        if (width == 768) == (language == "en"):
            faults += [f"{width}: {fault}" for fault in axe_violations(page)]
    if language == "ko":
        faults += [f"not Korean: {words}" for words in words_left_in_english(page)]
    faults += [f"refused by the policy: {each}" for each in page.evaluate("refused")]
    faults += [f"console: {each}" for each in windows.console if not (answer.status >= 400 and "status of 4" in each)]
    assert faults == []


def test_no_page_is_forgotten(app: Flask) -> None:
    adapter = app.url_map.bind("127.0.0.1")
    numbers_for_names = (re.sub(r"\{\w+\}", "1", path.partition("?")[0]) for _role, path in PAGES.values())
    looked_at = {adapter.match(path)[0] for path in numbers_for_names if path != "/no-such-page"}
    pages = {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert pages - looked_at == NOT_PAGES


def _log_in(page: Page, url: str, address: str) -> None:
    _enter_password(page, url, address)
    page.wait_for_url(lambda now: "/login" not in now)


def _enter_password(page: Page, url: str, address: str) -> None:
    page.goto(f"{url}/login")
    page.locator("#email").fill(address)
    page.locator("#password").fill(PASSWORD)
    with page.expect_navigation():
        page.locator("main form button.primary").click()
