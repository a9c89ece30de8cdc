"""Chromium for tests: where it is, how it is started, and what every page is watched for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, expect, sync_playwright

from tests import parts

PATIENCE_MS = 30_000  # the machine may be busy with something else
expect.set_options(timeout=PATIENCE_MS)
OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
    # No page here must be kept apart from another; else each step starts a process, and one in advance of the next.
    "--renderer-process-limit=1",
]


def chromium_path() -> str | None:
    """Return the browser that CHROMIUM names, or the one on the PATH."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def start_chromium() -> Iterator[Browser]:
    """Yield a browser; one for the whole session, since Playwright cannot be started twice in one thread."""
    path = chromium_path()
    if path is None:
        parts.skip("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()
