"""A browser, a running site, and pictures of the pages on which a test failed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.drill.conftest import make_experiment as make_experiment
from tests.journeys.browsing import Windows
from tests.journeys.installation import Installation, share_installation
from tests.journeys.serving import PreparedSite, serve_prepared_site
from tests.journeys.steps import set_up
from tests.parts import RedisServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def windows(chromium: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Windows]:
    """Opens browser windows; when the test fails, each leaves a picture in the test's folder."""
    opened = Windows(chromium)
    yield from with_pictures(opened, request, tmp_path)
    opened.close()


def with_pictures(opened: Windows, request: pytest.FixtureRequest, folder: Path) -> Iterator[Windows]:
    """Yield the windows, and save what they show when the test has failed."""
    yield opened
    if request.node.stash.get(FAILED, False):
        opened.take_pictures(folder)


@pytest.fixture(scope="package")
def prepared_site(
    redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PreparedSite]:
    """A site without workers, whose database holds a campaign in every state."""
    yield from serve_prepared_site(redis_server, sqlite_template, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="package")
def new_site(worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A whole installation in trial mode, as `make run` starts it; all test processes use the same one.

    It ends with the last journey: its workers would take their share of the machine from all tests that follow.
    """
    base = tmp_path_factory.getbasetemp()
    yield from share_installation((base if worker_id == "main" else base.parent) / "journeys")


@pytest.fixture
def word() -> str:
    """A word of this attempt alone: a second one finds in the installation what the first has left there."""
    return secrets.token_hex(3)


@pytest.fixture
def site(new_site: Installation, windows: Windows) -> Installation:
    """The installation with its owner and some people."""
    set_up(windows, new_site)
    return new_site
