"""The drill's own house: a temporary folder, a database and queues that nobody else uses, and their end.

The drill never touches what is configured: it asks the configured PostgreSQL server for a database of its own, the
configured RabbitMQ for queues of its own, and starts its own Redis, which it is going to kill.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kombu import Connection, Exchange
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.celery import LANES
from campaigns.config import Settings
from campaigns.errors import CarillonError
from campaigns.setting_groups import run_dir_of

# What is said of the configured site must not reach the drill's.
DROPPED = (
    "REDIS_URL", "BROKER_URL", "DATABASE_URL", "JOURNAL_DIR", "SECRET_KEY", "SECRET_KEY_FILE", "SECRET_KEY_FALLBACKS",
    "MAIL_SERVERS_FILE", "MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL", "MAIL_USERNAME", "MAIL_PASSWORD",
    "MAIL_PASSWORD_FILE", "MAIL_DEFAULT_SENDER", "MAIL_CA_FILE", "MAIL_MAX_EMAILS", "MAIL_TIMEOUT", "PUBLIC_BASE_URL",
    "TRUSTED_HOSTS", "PROXY_HOPS", "GIVE_UP_HOURS",
)  # fmt: skip


class NoDrillHere(CarillonError):
    """The drill cannot have a place of its own; the message says what to do."""


@dataclass
class House:
    """Where a drill happens: its folder, and the environment of all its processes."""

    folder: Path
    environ: Mapping[str, str]
    keep_folder: bool = False  # for whoever wants to read its logs


@contextmanager
def drill_house(settings: Settings, environ: Mapping[str, str], *, recipients: int, chunking: bool) -> Iterator[House]:
    """Make a house and take it down afterwards, whatever happens in it. Raises NoDrillHere.

    With `chunking` its mails are handed over with BDAT, else with DATA.
    """
    name = f"carillon_drill_{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="carillon-drill-"))
    own = {key: value for key, value in environ.items() if key not in DROPPED}
    own |= _fixed_settings(folder, recipients, chunking=chunking)
    house = House(folder, own)
    try:
        with _database(settings.database_url, name, folder) as url, _queues(settings.broker_url, name) as queues:
            house.environ = own | queues | {"DATABASE_URL": url}
            yield house
    finally:
        if not house.keep_folder:
            remove_folders(folder)


def remove_folders(folder: Path) -> None:
    """Remove the drill's folder, and the one for sockets should its path have been too long for them."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(run_dir_of(folder), ignore_errors=True)


def batch_size_for(recipients: int) -> int:
    """Return a batch size that makes some forty batches, so that there are always some in every state."""
    return max(10, min(250, recipients // 40))


def _fixed_settings(folder: Path, recipients: int, *, chunking: bool) -> dict[str, str]:
    return {
        "INSTANCE_DIR": str(folder),
        "MAIL_SERVERS": f"smtp://127.0.0.1:{_free_port()}?chunking={'yes' if chunking else 'no'}",
        "HOLD_SECONDS": "0",
        "BATCH_SIZE": str(batch_size_for(recipients)),
        "LEASE_SECONDS": "10",
        "RECONCILE_SECONDS": "2",
        "BRAKE_FAILED_PERCENT": "0",  # the drill refuses many on purpose
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "error",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _database(configured_url: str, name: str, folder: Path) -> Iterator[str]:
    if configured_url.startswith("sqlite"):
        yield f"sqlite:///{folder / 'drill.sqlite'}"
        return
    _run_on_server(configured_url, f'CREATE DATABASE "{name}"')
    try:
        url = make_url(configured_url).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        _run_on_server(configured_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _run_on_server(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).strip()
        raise NoDrillHere(
            f"The drill needs a database of its own and could not make or remove it: {why}\n"
            "Let the user of DATABASE_URL create databases (ALTER ROLE … CREATEDB), or unset DATABASE_URL: "
            "then the drill runs on SQLite."
        ) from error
    finally:
        engine.dispose()


@contextmanager
def _queues(broker_url: str, name: str) -> Iterator[dict[str, str]]:
    """Give RabbitMQ queues of our own names; with Redis as broker the drill's own server needs none."""
    if not broker_url.startswith("amqp"):
        yield {}
        return
    prefix = name.replace("_", "-") + "-"
    try:
        Connection(broker_url, connect_timeout=5).ensure_connection(max_retries=1, timeout=5).release()
        yield {"BROKER_URL": broker_url, "QUEUE_PREFIX": prefix}
    except BrokerError as error:
        raise NoDrillHere(f"The broker at BROKER_URL does not answer: {error}. Unset it to use Redis.") from error
    finally:
        remove_queues(broker_url, prefix)


def remove_queues(broker_url: str, prefix: str) -> None:
    """Delete the queues and the exchanges whose names begin with a prefix."""
    try:
        with Connection(broker_url, connect_timeout=5) as connection:
            channel: Any = connection.default_channel
            for lane in LANES:
                channel.queue_delete(prefix + lane)
            mailbox = f"{prefix}celery.pidbox"
            for exchange in (f"{prefix}carillon", f"{prefix}celeryev", mailbox, f"reply.{mailbox}"):
                Exchange(exchange)(channel).delete()
    except (OSError, BrokerError):
        return


def own_environment() -> dict[str, str]:
    """Return this process's environment, for the processes that the drill starts."""
    return dict(os.environ)
