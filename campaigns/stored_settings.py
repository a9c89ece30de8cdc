"""Settings that people change in the browser: stored by section, laid over those of the environment, followed live.

Every process looks again at most every two seconds: at the start of a request, of a task, and before each window of a
batch. What the environment gives stays as it is. While the database is away the last settings go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Flask, current_app, request
from sqlalchemy import String, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.clock import utcnow
from campaigns.config import Settings
from campaigns.database_version import lacking_revision
from campaigns.errors import CarillonError
from campaigns.extensions import db
from campaigns.mail_server_urls import MailServerUrl
from campaigns.secrets_at_rest import SecretNotReadable, decrypt, encrypt
from campaigns.setting_groups import CHANGEABLE, TWO_STEP_FROM

LOOK_SECONDS = 2.0  # how old what this process knows may be
AWAY_SECONDS = 10.0  # how long a database that did not answer is not asked again

# What says that this process is alive, or what is not, is a file, or leads on to another site, must not wait for a
# database.
_WAIT_FOR_NOTHING = {
    None, "static", "ops.healthz", "ops.metrics", "tracking.follow_link", "tracking.opening_picture",
}  # fmt: skip

logger = logging.getLogger(__name__)


class StoredSetting(db.Model):  # type: ignore[name-defined,misc]
    """One section of the settings pages: its values by field, and how often it was saved.

    The version is what a save is conditional on. Sections are never deleted, so the sum of all versions grows with
    every change, and one number tells a process whether it has to read anything. Passwords are encrypted.
    """

    __tablename__ = "stored_setting"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(default=dict)
    version: Mapped[int] = mapped_column(default=0)
    changed_at: Mapped[datetime] = mapped_column(default=utcnow)


def keep_live(app: Flask, *, on_change: Callable[[Settings, Settings], None]) -> None:
    """Follow what is stored from now on; `on_change` gets the settings as they were and as they are."""
    app.extensions["carillon.live_settings"] = _LiveSettings(app, on_change)
    app.before_request(_look_at_request)


def refresh_settings(*, at_once: bool = False) -> None:
    """Take over what was stored meanwhile; costs nothing if that was done within two seconds, unless `at_once`.

    Never raises, commits nothing, and leaves the session alone. Another thread that is looking already is not waited
    for.
    """
    live: _LiveSettings | None = current_app.extensions.get("carillon.live_settings")
    if live is not None:
        live.look(at_once=at_once)


def overlay(start: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the start settings with stored values laid over them, as far as the environment does not fix them.

    Unknown fields, of another version, are left out. Raises ValueError, TypeError or KeyError for damaged values.
    """
    free = {field: value for field, value in values.items() if field in CHANGEABLE and field not in start.given}
    return replace(start, **{field: _reader_of(start, field)(value) for field, value in free.items()})


def stored_servers(servers: tuple[MailServerUrl, ...]) -> list[dict[str, Any]]:
    """Return mail servers as they are stored, their passwords encrypted."""
    return [
        {"host": each.host, "port": each.port, "tls": each.tls, "username": each.username, "weight": each.weight,
         "chunking": each.chunking, "password": encrypt(each.password) if each.password else ""}
        for each in servers
    ]  # fmt: skip


def read_servers(stored: list[dict[str, Any]]) -> tuple[MailServerUrl, ...]:
    """Return mail servers from how they are stored; one whose password cannot be read any more says so."""
    return tuple(_server_of(each) for each in stored)


def _look_at_request() -> None:
    if request.endpoint not in _WAIT_FOR_NOTHING:
        refresh_settings()


class _LiveSettings:
    """What one process knows. The settings are swapped as a whole, so nobody ever sees half of a change."""

    def __init__(self, app: Flask, on_change: Callable[[Settings, Settings], None]) -> None:
        self._app = app
        self._on_change = on_change
        self._start: Settings = app.extensions["carillon.settings"]
        self._seen = 0  # the sum of versions that the settings in use are made of
        self._next_look = 0.0
        self._lock = threading.Lock()

    def look(self, *, at_once: bool) -> None:
        if (not at_once and time.monotonic() < self._next_look) or not self._lock.acquire(blocking=at_once):
            return
        try:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._take_over()
        except Exception as error:
            self._next_look = time.monotonic() + AWAY_SECONDS
            if not _is_before_upgrade():
                logger.warning("stored settings cannot be read, going on with those in use: %s", error)
        finally:
            self._lock.release()

    def _take_over(self) -> None:
        # A connection of its own: whoever asks may be in the middle of a transaction.
        with db.engine.connect() as connection:
            seen = connection.scalar(select(func.coalesce(func.sum(StoredSetting.version), 0)))
            if seen == self._seen:
                return
            rows = connection.execute(select(StoredSetting.value, StoredSetting.version)).all()
        values = {field: value for row in rows for field, value in row.value.items()}
        before, after = self._app.extensions["carillon.settings"], overlay(self._start, values)
        self._seen = sum(row.version for row in rows)
        self._app.extensions["carillon.settings"] = after
        self._on_change(before, after)
        logger.info("settings were changed: %s", ", ".join(_changed(before, after)) or "nothing that applies here")


def _changed(before: Settings, after: Settings) -> list[str]:
    return [field for field in CHANGEABLE if getattr(before, field) != getattr(after, field)]


def _server_of(stored: dict[str, Any]) -> MailServerUrl:
    try:
        password = decrypt(stored["password"]) if stored["password"] else ""
    except SecretNotReadable:
        return MailServerUrl(**{**stored, "password": ""}, password_is_lost=True)
    return MailServerUrl(**{**stored, "password": password})


def _reader_of(start: Settings, field: str) -> Callable[[Any], Any]:
    return _READ.get(field, type(getattr(start, field)))


def _read_two_step(value: Any) -> str:
    """Return whom two-step log-in is required of; raises ValueError for what every page would trip on."""
    return TWO_STEP_FROM[TWO_STEP_FROM.index(value)]


_READ: dict[str, Callable[[Any], Any]] = {
    "mail_servers": read_servers,
    "two_step_required_from": _read_two_step,
    "rate_per_second": float,
    "rate_per_domain": lambda pairs: tuple((domain, float(rate)) for domain, rate in pairs),
}


def _is_before_upgrade() -> bool:
    """Tell whether the database is about to get the table: then it holds no settings, and nobody has to be told."""
    try:
        return lacking_revision() is not None
    except (SQLAlchemyError, CarillonError):
        return False
