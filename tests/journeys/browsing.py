"""Browser windows as different people have them, watched for what a page must never do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.browser import PATIENCE_MS
from tests.journeys.looking import WATCH_POLICY


@dataclass
class Windows:
    """Every window of one test; each has cookies of its own, as another person's browser has."""

    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def open(self, *, language: str = "ko", width: int = 1280, height: int = 900, **options: Any) -> Page:
        """Open a window of somebody whose browser speaks that language; what its console says is kept."""
        locale = {"ko": "ko-KR", "en": "en-US"}[language]
        viewport = {"width": width, "height": height}
        context = self.browser.new_context(
            viewport=viewport,
            locale=locale,
            timezone_id="Asia/Seoul",
            reduced_motion="reduce",
            ignore_https_errors=True,  # no browser knows the authority of the tests
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH_POLICY)
        context.on("console", self._listen)
        self.contexts.append(context)
        return context.new_page()

    def take_pictures(self, folder: Path) -> None:
        """Save what every window shows."""
        for number, page in enumerate(page for context in self.contexts for page in context.pages):
            page.screenshot(path=str(folder / f"window-{number}.png"), full_page=True)

    def forget(self) -> None:
        """Leave every page, and forget who was logged in and what the consoles said; only what is cached stays."""
        for context in self.contexts:
            for page in context.pages:
                page.goto("about:blank")
            context.clear_cookies()
        self.console.clear()

    def close(self) -> None:
        for context in self.contexts:
            context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        # That a form was refused is an answer, not a fault.
        if message.type == "error" and "status of 422" not in message.text:
            self.console.append(f"{message.text} ({message.location.get('url')})")
