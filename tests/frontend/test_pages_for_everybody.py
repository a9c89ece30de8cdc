"""Every macro, looked at as people with different screens, eyes and languages do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATHS = ["/", "/?errors=1&flash=1", "/compose", "/empty", "/public", "/public?errors=1", "/fail/404", "/fail/503"]

OpenGuide = Callable[..., Page]

# WCAG 2.2, 1.4.12: the spacing a person may set without losing anything.
WIDER_TEXT = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(
    "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }");
  document.adoptedStyleSheets = [sheet];
}"""
COVERED_FOCUS = """() => {
  const focused = document.activeElement;
  if (focused === document.body || focused.nodeName === "IFRAME") return [];
  const shown = focused.closest("label") ?? focused;
  const box = shown.getBoundingClientRect();
  if (!box.width) return [];
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height, 40) / 2);
  return top && (shown.contains(top) || top.contains(shown)) ? [] : [focused.outerHTML.slice(0, 80)];
}"""
# What axe found right stays in the browser: it fills many times as much.
RUN_AXE = """async (rules) => {
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html.slice(0, 120)}`));
}"""
SMALL_TARGETS = """() => [...document.querySelectorAll("button, .btn, .tabs a, .chips a, summary, input, select")]
  .filter((element) => element.checkVisibility())
  .filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && (box.height < 24 || box.width < 24);
  })
  .map((element) => element.outerHTML.slice(0, 80))"""
VIEWS = [(320, "light", "ko"), (768, "dark", "en"), (1280, "light", "en")]


def violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE, RULES)
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("width", "theme", "language"), VIEWS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    open_guide: OpenGuide, path: str, width: int, theme: Any, language: str
) -> None:
    page = open_guide(path, width=width, color_scheme=theme, language=language)
    page.evaluate(
        "scrollTo(0, 0)"
    )  # a long list of errors has the focus, and what is half under the bar counts as small
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("refused") == []


def test_dialogs_menus_and_popovers_are_clean_when_open(open_guide: OpenGuide) -> None:
    page = open_guide("/", width=320)
    page.click(".menu-button")
    assert page.get_by_role("link", name="Users").is_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.click(".account-button")
    assert page.get_by_role("button", name="Log out").is_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Cancel the rest").click()
    assert violations(page) == []


def test_wider_letters_and_lines_clip_nothing(open_guide: OpenGuide) -> None:
    page = open_guide("/", width=320, language="ko")
    page.evaluate(WIDER_TEXT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_what_has_the_focus_is_never_hidden_by_the_bars(open_guide: OpenGuide) -> None:
    page = open_guide("/compose", width=360, height=780)
    hidden = []
    for _step in range(30):
        page.keyboard.press("Tab")
        hidden += page.evaluate(COVERED_FOCUS)
    assert hidden == []


def test_everything_to_press_is_at_least_24_pixels(open_guide: OpenGuide) -> None:
    page = open_guide("/", width=360)
    assert page.evaluate(SMALL_TARGETS) == []
