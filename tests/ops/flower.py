"""Asking Flower as a browser or a program does."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

from tests.parts import wait_until


def ask_flower(url: str, password: str = "", *, body: bytes | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer; 0 when nobody answers."""
    request = urllib.request.Request(url, data=body)
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"carillon:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def tasks_seen(url: str, password: str, wanted: set[str]) -> set[tuple[str, str, str]]:
    """Wait until Flower has seen these tasks; return the name, arguments and keywords of every task it has seen."""

    def look() -> set[tuple[str, str, str]]:
        status, text = ask_flower(f"{url}/api/tasks?limit=1000", password)
        tasks = json.loads(text).values() if status == 200 else ()
        found = {(task["name"] or "", task["args"] or "", task["kwargs"] or "") for task in tasks}
        return found if wanted <= {name for name, *_ in found} else set()

    found: set[tuple[str, str, str]] = wait_until(look, what=f"{wanted} to be seen by Flower")
    return found
