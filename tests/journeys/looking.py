"""What is looked at on every page: accessibility, policy, console, width, names, words left in English, forms."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import axe_playwright_python
from babel.messages.pofile import read_po
from playwright.sync_api import Page

from tests.parts import ROOT

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What axe found right fills many times as much; it stays in the browser.
RUN_AXE = """async (rules) => {
  const options = {runOnly: rules, iframes: false, resultTypes: ["violations"]};
  const found = await axe.run(document, options);
  return found.violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}`));
}"""
WATCH_POLICY = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective + " " + event.blockedURI));
"""
# The visible words of a page, without what people wrote and what machines say.
WORDS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (parent.closest("code, pre, script, style, noscript, textarea, option")) continue;
    const language = parent.closest("[lang]").lang;
    if (language !== document.documentElement.lang) continue;
    const text = node.data.replace(/\\s+/g, " ").trim();
    if (text) found.push(text);
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title], [data-busy]"))
    for (const name of ["aria-label", "placeholder", "title", "data-busy"])
      if (element.getAttribute(name)) found.push(element.getAttribute(name).trim());
  return found;
}"""
FORMS_WITHOUT_TOKEN = """() => [...document.forms]
  .filter((form) => form.method === "post" && !form.querySelector("input[name=csrf_token]")?.value)
  // Mail programs press that button too, and have no token (RFC 8058).
  .filter((form) => !new URL(form.action).pathname.startsWith("/p/u/"))
  .map((form) => form.outerHTML.slice(0, 120))"""
FORMS_LEADING_AWAY = """() => [...document.forms]
  .filter((form) => new URL(form.action, location).origin !== location.origin)
  .map((form) => form.outerHTML.slice(0, 120))"""
WIDER_THAN_THE_SCREEN = """() => {
  const most = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= most) return [];
  return [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > most + 1 && !element.closest(".scroll"))
    .map((element) => element.outerHTML.slice(0, 100));
}"""
# Where a subject may stand; sentences that explain the syntax may show it.
MERGE_SYNTAX = """() => [document.title,
  ...[...document.querySelectorAll("h1, .crumbs, td, th, dt, dd, .row-head, .launch-sentence")]
  .filter((element) => !element.querySelector("code, pre"))
  .map((element) => element.innerText)].filter((text) => text.includes("{{"))"""
ENGLISH_SENTENCE = re.compile(r"[A-Za-z'’]+(?: [A-Za-z'’]+){2,}")


def axe_violations(page: Page) -> list[str]:
    """Return what axe finds, in every rule of WCAG 2.2 AA and of its best practice."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations: list[str] = page.evaluate(RUN_AXE, RULES)
    return violations


def faults_of_the_document(page: Page, language: str) -> list[str]:
    """Return what is wrong with the page as a document, whatever its width."""
    faults = [f"form without a token: {form}" for form in page.evaluate(FORMS_WITHOUT_TOKEN)]
    faults += [f"form that leads away: {form}" for form in page.evaluate(FORMS_LEADING_AWAY)]
    if page.locator("html").get_attribute("lang") != language:
        faults.append("the language of the document is not the page's")
    if page.locator("h1").count() != 1:
        faults.append(f"{page.locator('h1').count()} headings of the first level")
    if not re.fullmatch(r"\S.* · (Carillon|새벽 우편)", page.title()):
        faults.append(f"title {page.title()!r}")
    return faults + [f"merge syntax: {words}" for words in page.evaluate(MERGE_SYNTAX)]


def faults_of_the_width(page: Page) -> list[str]:
    """Return what is wider than the screen."""
    return [f"wider than the screen: {element}" for element in page.evaluate(WIDER_THAN_THE_SCREEN)]


def words_left_in_english(page: Page) -> list[str]:
    """Return the words of a Korean page that should be Korean."""
    exact, patterns = _english_words()
    left = []
    for words in [*page.evaluate(WORDS), page.title()]:
        is_ours = words in exact or any(pattern.fullmatch(words) for pattern in patterns)
        if is_ours or ENGLISH_SENTENCE.search(words):
            left.append(words)
    return left


@lru_cache(maxsize=1)
def _english_words() -> tuple[frozenset[str], tuple[re.Pattern[str], ...]]:
    """Return the English of every string: those without a gap, and the others as patterns."""
    with (ROOT / "campaigns/translations/ko/LC_MESSAGES/messages.po").open("rb") as file:
        catalog = read_po(file, locale="ko")
    exact, patterns = set(), []
    for message in catalog:
        korean = message.string if isinstance(message.string, str) else message.string[0]
        for english in [message.id] if isinstance(message.id, str) else message.id:
            if not english or english == korean:
                continue
            pieces = re.split(r"%\(\w+\)[sd]", english)
            if len(pieces) == 1:
                exact.add(english.strip())
            elif len(re.findall(r"[A-Za-z]{3,}", "".join(pieces))) > 1:
                patterns.append(re.compile(".+?".join(re.escape(piece) for piece in pieces)))
    return frozenset(exact), tuple(patterns)
