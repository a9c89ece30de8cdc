"""What the scripted servers of these tests offer."""

from __future__ import annotations

import pytest

OFFERS = {"pipelined": ["PIPELINING", "SIZE 1000000"], "plain": ["SIZE 1000000"]}


@pytest.fixture(params=["pipelined", "plain"])
def offers(request: pytest.FixtureRequest) -> list[str]:
    """One server that takes several commands at once, and one that does not."""
    return OFFERS[request.param]
