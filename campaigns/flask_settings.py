"""What Flask and its extensions are told, made of our settings; each value with its reason where it would surprise."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.pool import QueuePool

from campaigns.config import LOOPBACK_HOSTS, Settings
from campaigns.database import postgresql_connect_args, sqlite_connect_args, write_json

ROOT: Final = Path(__file__).resolve().parent.parent


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
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "campaigns" / "translations"),
        **mail_settings(settings),
    }


def mail_settings(settings: Settings) -> dict[str, object]:
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
    pool = {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True, "pool_timeout": 10}
    return {**pool, **quiet, "connect_args": postgresql_connect_args()}


def limiter_storage(redis_url: str) -> str:
    """Return the rate limiter's address of Redis; it writes a Unix socket as redis+unix://."""
    return redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix:") else redis_url
