"""The people of these tests read English."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from campaigns.accounts.models import User
from campaigns.celery import LANES
from campaigns.ops.heartbeats import Kind, record_heartbeat
from tests.people import log_in, make_user


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, "BATCH_SIZE": "5"}


@pytest.fixture(autouse=True)
def everything_runs(app: Flask) -> None:
    """Workers and beat have just reported, so that the dashboard has nothing to say of them."""
    record_heartbeat("host:1", kind=Kind.WORKER, lanes=",".join(LANES))
    record_heartbeat("host:2", kind=Kind.BEAT)


@pytest.fixture
def owner(app: Flask) -> User:
    return make_user("ada@example.com", name="Ada", role="owner", password=True, language="en", timezone="UTC")


@pytest.fixture
def viewer_client(app: Flask) -> FlaskClient:
    """Vic may look, but not see people's addresses."""
    return log_in(app, make_user("vic@example.com", role="viewer", password=True, language="en"))
