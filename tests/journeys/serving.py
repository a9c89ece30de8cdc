"""The prepared site, served by threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from app import create_app
from campaigns.config import load_settings
from campaigns.extensions import db
from tests import parts
from tests.journeys.prepared import prepare
from tests.smtp_sink import free_port
from tests.web_server import on_port


@dataclass(frozen=True)
class PreparedSite:
    """Where it is, the ids and tokens in the addresses of its pages, and what serves it. It has no workers."""

    url: str
    found: dict[str, Any]
    app: Flask


def serve_prepared_site(redis: parts.RedisServer, template: Path, folder: Path) -> Iterator[PreparedSite]:
    """Yield a served site with something on every page."""
    port = free_port()
    environ = {
        "INSTANCE_DIR": str(folder),
        "DATABASE_URL": parts.copy_sqlite(template, folder),
        "REDIS_URL": redis.url,
        "PORT": str(port),
        "BATCH_SIZE": "5",
        "CONFIRM_FROM": "20",
        "LOG_LEVEL": "error",
    }
    app = create_app(load_settings(environ))
    with app.app_context():
        found = prepare(folder)
        db.session.remove()
    with on_port(app, port):
        yield PreparedSite(f"http://127.0.0.1:{port}", found, app)
    with app.app_context():
        db.engine.dispose()
    app.extensions["celery"].close()
