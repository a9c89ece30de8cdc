"""A browser and the style guide, served on a free port of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import PATIENCE_MS
from tests.frontend.style_guide import make_app
from tests.smtp_sink import free_port
from tests.web_server import on_port

WATCH_POLICY = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective + " " + event.blockedURI));
"""


@pytest.fixture(scope="session")
def guide_url() -> Iterator[str]:
    port = free_port()
    with on_port(make_app(), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def open_guide(chromium: Browser, guide_url: str) -> Iterator[Callable[..., Page]]:
    """Open a page of the style guide: open_guide("/", width=320, language="ko", color_scheme="dark")."""
    contexts = []

    def open_page(path: str, *, width: int = 1280, height: int = 900, language: str = "en", **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        contexts.append(context)
        context.add_cookies([{"name": "lang", "value": language, "url": guide_url}])
        context.add_init_script(WATCH_POLICY)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(guide_url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
