"""What every test may use: an application on a real database and a real Redis, people, and a real mail server.

Nothing of Carillon's own is patched. A test says `app`, and gets one with an empty, migrated database; with
`@pytest.mark.both_databases` it runs on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g, request_started
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser

from app import create_app
from campaigns.accounts.models import User
from campaigns.config import Settings, load_settings
from campaigns.extensions import db
from campaigns.web_extensions import limiter
from tests import parts
from tests.browser import start_chromium
from tests.durations import seconds_of
from tests.kept import KeptTemplates, keep_what_is_alike
from tests.people import log_in, make_user
from tests.smtp_sink import Sink

pytest_plugins: list[str] = []
# Hundreds of processes are started here, each of which would compile all of our files anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Every run tries the same, so that what nobody has changed does not begin to fail. HYPOTHESIS=explore looks further and
# shortens what it finds; HYPOTHESIS=shorten does the latter with what every run tries, which may take minutes.
explores = os.environ.get("HYPOTHESIS") == "explore"
hypothesis_settings.register_profile(
    "steady",
    deadline=None,
    derandomize=not explores,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if os.environ.get("HYPOTHESIS") else [])],
)
hypothesis_settings.load_profile("steady")
kept_templates = KeptTemplates()
keep_what_is_alike(Flask)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_databases: runs on SQLite and on PostgreSQL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process is left with one of them when the others have finished.

    The journeys share an installation, which ends with the last of them: they come before all others but two drills,
    which wait for most of their time. Beside journeys alone, browsers would wait for each other.
    """
    drills = {item.path for item in items if item.path.parent.name == "drill"}
    longest = sorted(drills, key=lambda path: (seconds_of(path), path))[-2:]
    items.sort(key=lambda item: (item.path not in longest, item.path.parent.name != "journeys", -seconds_of(item.path)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[parts.RedisServer]:
    """A private Redis-protocol server on a Unix socket; tests may stop, flush and restart it."""
    server = parts.RedisServer(parts.short_folder())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.migrated_sqlite(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_database(worker_id: str) -> Iterator[str]:
    yield from parts.postgres_database(f"carillon_test_{worker_id}_{os.getpid()}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser; pages open in contexts of their own, which forget everything at their end."""
    yield from start_chromium()


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite")


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if database_kind == "postgresql":
        url = request.getfixturevalue("postgres_database")
        parts.empty_postgres(url)
        yield url
    else:
        yield parts.copy_sqlite(request.getfixturevalue("sqlite_template"), tmp_path)


@pytest.fixture
def environ(tmp_path: Path, database_url: str, redis_server: parts.RedisServer, sink: Sink) -> dict[str, str]:
    """The environment of the application under test; also right for a worker or command started as a process."""
    redis_server.flush()
    return {
        "TESTING": "true",
        "INSTANCE_DIR": str(tmp_path / "instance"),
        "SECRET_KEY": "a-key-for-tests-only",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_server.url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(sink.port),
        "PUBLIC_BASE_URL": "http://carillon.example.test",
        "TRUSTED_HOSTS": "localhost",
        "HOLD_SECONDS": "0",
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "warning",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return load_settings(environ)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    application = create_app(settings)
    application.jinja_env.bytecode_cache = kept_templates
    # There is one limiter for all applications of a process; after a test without Redis it would count in memory for a
    # while, and then go on from nought.
    limiter._storage_dead = False
    with application.app_context(), request_started.connected_to(_forget_last_request, application):
        yield application
        parts.close_connections()
        db.session.remove()
        db.engine.dispose()
    application.extensions["celery"].close()


def _forget_last_request(_app: Flask, **_: Any) -> None:
    """Empty `g`: requests made inside the test's application context would share the person and the CSRF token."""
    for name in list(g):
        g.pop(name)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a log-in. Forms carry a real CSRF token: see tests/pages.py."""
    return app.test_client()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A real SMTP server on a loopback port; `sink.mails` is what it accepted."""
    server = Sink()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def owner(app: Flask) -> User:
    """Ada owns the site."""
    return make_user("ada@example.com", name="Ada", role="owner", password=True)


@pytest.fixture
def owner_client(app: Flask, owner: User) -> FlaskClient:
    return log_in(app, owner)


@pytest.fixture
def run_queued(app: Flask) -> Callable[..., list[str]]:
    """Run what was enqueued, in this process, in order; returns the names of the tasks run."""

    def run(*lanes: str) -> list[str]:
        return parts.run_queued_tasks(app, lanes)

    return run


@pytest.fixture
def start_process(environ: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Start a Celery worker, beat or command as a real process in the test's environment; ended with the test."""
    yield from parts.process_starter(environ)


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    return getattr(request.config, "workerinput", {}).get("workerid", "main")
