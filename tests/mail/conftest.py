"""What the scripted servers of these tests offer, and how they are talked to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.mail.scripted_server import ScriptedServer
from tests.mail.ways import WAYS, Way

AUTHORITY = trustme.CA()
OFFERS = {"pipelined": ["PIPELINING", "SIZE 1000000"], "plain": ["SIZE 1000000"]}


@pytest.fixture(params=["pipelined", "plain"])
def offers(request: pytest.FixtureRequest) -> list[str]:
    """One server that takes several commands at once, and one that does not."""
    return OFFERS[request.param]


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Each way; in the end nothing has come that was not noted before."""
    offers, changes = WAYS[request.param]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if is_secure := "security" in changes:
        AUTHORITY.issue_cert("localhost").configure_cert(tls)
        AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        changes = {**changes, "ca_file": str(tmp_path / "ca.pem")}
    with ScriptedServer(offers=[*offers, "SIZE 100000000"], tls=tls, implicit_tls=is_secure) as server:
        found = Way(server, changes)
        yield found
        found.close()
    assert found.came_unnoted == []
