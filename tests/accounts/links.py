"""Reading the links in mails."""

from __future__ import annotations

import re


def link_in(text: str, path: str) -> str:
    """Return the path of the link that starts with `path` in a mail."""
    found = re.search(rf"http://carillon\.example\.test({path}/[\w.-]+)", text)
    assert found, text
    return found.group(1)
