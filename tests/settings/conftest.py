"""A site whose environment leaves the settings to the browser, but for where its mail would go."""

from __future__ import annotations

import pytest


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """As everywhere, without what the browser may change."""
    free = {"HOLD_SECONDS", "MAIL_SERVER", "MAIL_PORT"}
    return {name: value for name, value in environ.items() if name not in free}
