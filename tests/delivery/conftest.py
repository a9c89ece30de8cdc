"""What every test of sending begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from campaigns.mail.mail_servers import health


@pytest.fixture(autouse=True)
def _well() -> Iterator[None]:
    """Take every mail server for well, whatever the test before made of it."""
    health.forget()
    yield
    health.forget()
