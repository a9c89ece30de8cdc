"""Using pages as a browser does: read a form, fill it in, send it with its own hidden fields."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class _Forms(HTMLParser):
    """Collects the forms of a page with the fields a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self._open_name: str | None = None  # the textarea or select that is being read
        self._in_textarea = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form":
            self.forms.append({"action": given.get("action") or "", "method": given.get("method", "get"), "fields": {}})
        elif self.forms and tag == "option" and self._open_name:
            fields = self.forms[-1]["fields"]
            if "selected" in given or self._open_name not in fields:
                fields[self._open_name] = given.get("value") or ""
        elif self.forms and tag in {"input", "select", "textarea"} and given.get("name"):
            self._open_field(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"select", "textarea"}:
            self._open_name, self._in_textarea = None, False

    def handle_data(self, data: str) -> None:
        if self._in_textarea and self._open_name:
            # A browser drops the line break that follows the opening tag.
            self.forms[-1]["fields"][self._open_name] += data.removeprefix("\r").removeprefix("\n")

    def _open_field(self, tag: str, given: dict[str, str | None]) -> None:
        kind = given.get("type")
        if kind == "submit" or (kind in {"checkbox", "radio"} and "checked" not in given):
            return
        name = str(given["name"])
        if tag != "select":
            self.forms[-1]["fields"][name] = given.get("value") or ""
        if tag != "input":
            self._open_name, self._in_textarea = name, tag == "textarea"


def forms_of(html: str) -> list[dict[str, Any]]:
    """Return each form of a page: action, method, and hidden and prefilled fields."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def submit(
    client: FlaskClient, path: str, fields: dict[str, Any], *, action: str | None = None, **options: Any
) -> TestResponse:
    """Open `path`, fill in the form that has these fields (or the given action), and send it."""
    page = client.get(path)
    candidates = [form for form in forms_of(page.text) if action is None or form["action"] == action]
    best = max(candidates, key=lambda form: len(set(form["fields"]) & set(fields)), default=None)
    assert best is not None, f"no form on {path} ({page.status_code})"
    return client.post(best["action"] or path, data={**best["fields"], **fields}, **options)


def without_secrets(page: str) -> str:
    """Return a page without what is drawn anew for each: tokens, and the key of a form."""
    return re.sub(r'value="([^"]{60,}|[\w-]{16})"', "", page)
