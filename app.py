"""The application factory: the only module that knows every area. `flask run` finds it unaided."""

from __future__ import annotations

import os
from datetime import timedelta

from celery.signals import setup_logging
from flask import Flask
from sqlalchemy.pool import QueuePool
from werkzeug.middleware.proxy_fix import ProxyFix

import campaigns.accounts.routes
import campaigns.audience.import_routes
import campaigns.audience.routes
import campaigns.audit.routes
import campaigns.compose.routes
import campaigns.delivery.routes
import campaigns.ops.commands
import campaigns.ops.metrics_routes
import campaigns.ops.metrics_signals
import campaigns.ops.routes
import campaigns.ops.signals
import campaigns.reports.routes
import campaigns.settings.routes
import campaigns.team.routes
import campaigns.upkeep.commands
from campaigns.celery import make_celery
from campaigns.config import LOOPBACK_HOSTS, Settings, load_settings_or_exit
from campaigns.database import prepare_sqlite, sqlite_connect_args, write_json
from campaigns.error_pages import register_error_pages
from campaigns.extensions import babel, csrf, db, limiter, login_manager, mail, migrate
from campaigns.languages import choose_language, choose_timezone, set_language
from campaigns.logs import configure_logging, register_request_ids
from campaigns.mail.mail_servers import health
from campaigns.metrics import share_counts
from campaigns.presentation import register_presentation
from campaigns.schedule import beat_schedule
from campaigns.security import register_security
from campaigns.sentry import start_sentry
from campaigns.stored_settings import keep_live

BLUEPRINTS = (
    campaigns.audit.routes.bp,
    campaigns.accounts.routes.bp,
    campaigns.team.routes.bp,
    campaigns.audience.routes.bp,
    campaigns.compose.routes.bp,
    campaigns.delivery.routes.bp,
    campaigns.reports.routes.bp,
    campaigns.settings.routes.bp,
    campaigns.ops.routes.bp,
)


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application; without `settings` they are read from the environment, a wrong one ends the process."""
    settings = settings or load_settings_or_exit(os.environ)
    configure_logging(settings)
    start_sentry(settings)
    share_counts(settings.metrics_dir)
    app = Flask(__name__, instance_path=str(settings.instance_dir))
    app.extensions["carillon.settings"] = settings
    app.config.from_mapping(flask_settings(settings))
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    register_request_ids(app)
    keep_live(app, on_change=lambda before, after: _follow(app, before, after))
    _bind_extensions(app, settings)
    make_celery(app, settings).conf.beat_schedule = beat_schedule(settings)
    register_security(app)
    register_presentation(app)
    register_error_pages(app)
    app.add_url_rule("/language", "set_language", set_language, methods=["POST"])
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    campaigns.ops.commands.register_commands(app)
    campaigns.upkeep.commands.register_commands(app)
    return app


def flask_settings(settings: Settings) -> dict[str, object]:
    """Return the configuration that Flask and its extensions read."""
    return {
        "TESTING": settings.testing,
        "SECRET_KEY": settings.secret_key,
        "SECRET_KEY_FALLBACKS": list(settings.secret_key_fallbacks),
        "MAX_CONTENT_LENGTH": settings.upload_limit_bytes,
        "MAX_FORM_MEMORY_SIZE": 2_000_000,
        "TRUSTED_HOSTS": trusted_hosts(settings),
        "SESSION_COOKIE_NAME": "__Host-carillon" if settings.is_secure else "carillon",
        "SESSION_COOKIE_SECURE": settings.is_secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_REFRESH_EACH_REQUEST": False,  # a log-in lasts as long as its row, whatever its cookie says
        "PERMANENT_SESSION_LIFETIME": timedelta(days=30),
        "SEND_FILE_MAX_AGE_DEFAULT": timedelta(days=365),
        "WTF_CSRF_TIME_LIMIT": None,  # lives as long as the session: a draft left open over night still saves
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings.database_url),
        "RATELIMIT_STORAGE_URI": limiter_storage(settings.redis_url),
        "RATELIMIT_STORAGE_OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
        "RATELIMIT_SWALLOW_ERRORS": True,  # a limit that cannot be counted lets people in
        "RATELIMIT_FAIL_ON_FIRST_BREACH": False,  # so that the longest wait is the one that is told
        "RATELIMIT_KEY_PREFIX": "carillon",
        "RATELIMIT_HEADERS_ENABLED": False,
        "BABEL_DEFAULT_LOCALE": "en",
        "BABEL_TRANSLATION_DIRECTORIES": os.path.join(os.path.dirname(__file__), "campaigns", "translations"),
        **mail_config(settings),
    }


def mail_config(settings: Settings) -> dict[str, object]:
    """Return what Flask-Mail reads: the one server, or the first of several; our transport knows them all."""
    first = settings.mail_servers[0] if settings.mail_servers else None
    return {
        "MAIL_SERVER": first.host if first else settings.mail_server,
        "MAIL_PORT": first.port if first else settings.mail_port,
        "MAIL_USE_TLS": first.tls == "starttls" if first else settings.mail_use_tls,
        "MAIL_USE_SSL": first.tls == "tls" if first else settings.mail_use_ssl,
        "MAIL_USERNAME": (first.username if first else settings.mail_username) or None,
        "MAIL_PASSWORD": (first.password if first else settings.mail_password) or None,
        "MAIL_DEFAULT_SENDER": settings.mail_default_sender or None,
        "MAIL_SUPPRESS_SEND": False,
    }


def trusted_hosts(settings: Settings) -> list[str]:
    """Return the host names a request may carry: the public one, this machine's own, and those in TRUSTED_HOSTS."""
    public = settings.public_base_url.split("://", 1)[1].split("/", 1)[0]
    return [public.rsplit(":", 1)[0], *LOOPBACK_HOSTS, *settings.trusted_hosts]


def engine_options(database_url: str) -> dict[str, object]:
    """Return what the database is opened with: a pool for threads, and no waiting for ever."""
    quiet = {"hide_parameters": True}  # an error names no values: they would stand in logs and failed tasks
    if database_url.startswith("sqlite"):
        pool: dict[str, object] = {"poolclass": QueuePool, "pool_size": 20, "max_overflow": 20}
        return {**pool, **quiet, "connect_args": sqlite_connect_args(), "json_serializer": write_json}
    arguments = {"connect_timeout": 5, "application_name": "carillon"}
    pool = {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True, "pool_timeout": 10}
    return {**pool, **quiet, "connect_args": arguments}


def limiter_storage(redis_url: str) -> str:
    """Return the rate limiter's address of Redis; it writes a Unix socket as redis+unix://."""
    return redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix:") else redis_url


def _follow(app: Flask, before: Settings, after: Settings) -> None:
    """Hand changed mail servers on: Flask-Mail keeps its own copy, and what was ill may be another server now."""
    if before.mail_servers != after.mail_servers:
        app.config.update(mail_config(after))
        mail.init_app(app)
        health.forget()


def _bind_extensions(app: Flask, settings: Settings) -> None:
    db.init_app(app)
    if settings.database_url.startswith("sqlite"):
        with app.app_context():
            prepare_sqlite(db.engine)
    migrate.init_app(app, db, directory=os.path.join(os.path.dirname(__file__), "campaigns", "migrations"))
    login_manager.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)
    mail.init_app(app)
    babel.init_app(app, locale_selector=choose_language, timezone_selector=choose_timezone)


@setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Celery leaves logging alone once something listens here; `create_app` has configured it."""
