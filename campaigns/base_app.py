"""What the web site, workers, beat and commands are all built on: settings, logs, database, mail, languages, Celery.

It knows no area. `app.py` adds the pages and commands, `celery_worker.py` the tasks: a process that sends mail never
loads what shows pages, which is a quarter of its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.signals import setup_logging
from flask import Flask

from campaigns.celery import make_celery
from campaigns.config import Settings
from campaigns.database import prepare_postgresql, prepare_sqlite
from campaigns.extensions import babel, db, mail
from campaigns.flask_settings import ROOT, flask_settings
from campaigns.languages import choose_language, choose_timezone
from campaigns.logs import configure_logging, register_request_ids
from campaigns.metrics import share_counts
from campaigns.presentation import register_presentation
from campaigns.schedule import beat_schedule
from campaigns.sentry_if_set import start_sentry
from campaigns.stored_settings import keep_live


def make_base_app(settings: Settings, *, on_change: Callable[[Flask, Settings, Settings], None]) -> Flask:
    """Return an application without pages and tasks; `on_change` gets it, the settings as they were and as they are."""
    configure_logging(settings)
    start_sentry(settings)
    share_counts(settings.metrics_dir)
    app = Flask("app", root_path=str(ROOT), instance_path=str(settings.instance_dir))
    app.extensions["carillon.settings"] = settings
    app.config.from_mapping(flask_settings(settings))
    register_request_ids(app)
    keep_live(app, on_change=lambda before, after: on_change(app, before, after))
    _bind_extensions(app, settings)
    make_celery(app, settings).conf.beat_schedule = beat_schedule(settings)
    register_presentation(app)
    return app


def _bind_extensions(app: Flask, settings: Settings) -> None:
    db.init_app(app)
    with app.app_context():
        prepare = prepare_sqlite if settings.database_url.startswith("sqlite") else prepare_postgresql
        prepare(db.engine)
    mail.init_app(app)
    babel.init_app(app, locale_selector=choose_language, timezone_selector=choose_timezone)


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Celery leaves logging alone once something listens here; `make_base_app` has configured it."""
