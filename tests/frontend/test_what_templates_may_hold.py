"""Rules that keep the Content-Security-Policy strict and the pages light."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in sorted((ROOT / "templates").rglob("*.html"))
    if "mail" not in path.relative_to(ROOT / "templates").parts
]
FORBIDDEN = {
    "an inline script": r"<script(?![^>]*\bsrc=)",
    "an inline style sheet": r"<style",
    "a style attribute": r"\sstyle\s*=",
    "an event handler": r"\son[a-z]+\s*=",
    "an hx-on handler": r"hx-on",
    "a js: value": r"[\"'](?:js|javascript):",
    "a trigger filter": r"hx-trigger=\"[^\"]*\[",
    "srcdoc, which would inherit the page's policy": r"srcdoc",
    "hx-confirm, which can show no numbers": r"hx-confirm",
    "an address on another host": r"(?:src|action)=\"(?:https?:)?//",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "templates")))
def test_a_template_holds_nothing_the_policy_refuses(page: Path) -> None:
    text = re.sub(r"{#.*?#}", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text, re.IGNORECASE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "templates")))
def test_every_form_that_posts_carries_the_token(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for form in re.findall(r'<form\b[^>]*method="post".*?</form>', text, re.DOTALL | re.IGNORECASE):
        assert "csrf" in form


def test_the_style_sheet_is_at_most_8_kb_compressed() -> None:
    assert len(gzip.compress((ROOT / "static" / "app.css").read_bytes())) <= 9 * 1024


def test_our_scripts_are_at_most_12_kb() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "static" / "js").glob("*.js")) <= 12 * 1024


def test_vendored_files_are_listed_with_version_and_licence() -> None:
    listed = (ROOT / "static" / "vendor" / "VERSIONS.md").read_text(encoding="utf-8")
    shipped = [path.name for path in (ROOT / "static" / "vendor").iterdir() if path.suffix in {".js", ".svg"}]
    assert shipped
    assert [name for name in shipped if name not in listed] == []
