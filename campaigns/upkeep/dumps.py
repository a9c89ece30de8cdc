"""Writing a database into one file and reading it back: SQLite by its own backup, PostgreSQL by pg_dump.

What is written is what the database was at one moment, while the site runs on.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from campaigns.errors import CarillonError
from campaigns.extensions import db

NAMES = {"sqlite": "database.sqlite", "postgresql": "database.dump"}
SQLITE_SIDE_FILES = ("-wal", "-shm")


class CannotDump(CarillonError):
    """The database could not be written to a file or read back; the message says why and what to do."""


def database_kind() -> str:
    """Return "sqlite" or "postgresql"."""
    return str(db.engine.dialect.name)


def dump_database(target: Path) -> dict[str, int]:
    """Write the database to `target` and return the rows of each table in it. Raises CannotDump."""
    return _dump_sqlite(target) if database_kind() == "sqlite" else _dump_postgres(target)


def load_database(source: Path) -> None:
    """Put the database of a dump in the place of the configured one. Raises CannotDump; nobody else may use it."""
    db.session.remove()
    if database_kind() == "sqlite":
        _load_sqlite(source)
    else:
        _load_postgres(source)
    db.engine.dispose()


def is_empty() -> bool:
    """Tell whether the configured database has no table yet."""
    return not inspect(db.engine).get_table_names()


def count_rows() -> dict[str, int]:
    """Return the rows of each table of the configured database."""
    with db.engine.connect() as connection:
        return _count_rows(connection)


def _count_rows(connection: Connection) -> dict[str, int]:
    names = inspect(connection).get_table_names()
    quote = connection.dialect.identifier_preparer.quote
    return {name: int(connection.scalar(text(f"SELECT count(*) FROM {quote(name)}")) or 0) for name in sorted(names)}  # noqa: S608


def _dump_sqlite(target: Path) -> dict[str, int]:
    source = sqlite3.connect(_sqlite_path(), timeout=30)
    copy = sqlite3.connect(target)
    try:
        # All pages in one step: a step at a time starts again whenever somebody writes, and a campaign writes always.
        source.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise CannotDump(f"The database is damaged: {verdict}")
        tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        own = [name for name in tables if not name.startswith("sqlite_")]
        return {name: int(copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in own}  # noqa: S608
    except sqlite3.Error as error:
        raise CannotDump(f"The database could not be copied: {error}") from error
    finally:
        copy.close()
        source.close()


def _load_sqlite(source: Path) -> None:
    db.engine.dispose()
    path = _sqlite_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".restoring")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    # A log left by the database that goes would be played into the one that comes.
    for ending in SQLITE_SIDE_FILES:
        path.with_name(path.name + ending).unlink(missing_ok=True)
    draft.replace(path)


def _sqlite_path() -> Path:
    return Path(str(db.engine.url.database))


def _dump_postgres(target: Path) -> dict[str, int]:
    with db.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        # pg_dump reads the very moment that the rows are counted at.
        snapshot = str(connection.scalar(text("SELECT pg_export_snapshot()")))
        arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
        _run("pg_dump", [*arguments, f"--file={target}", f"--dbname={_conninfo(db.engine.url)}"])
        return _count_rows(connection)


def _load_postgres(source: Path) -> None:
    drop_tables()
    arguments = ["--no-owner", "--no-privileges", "--clean", "--if-exists", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", [*arguments, f"--dbname={_conninfo(db.engine.url)}", str(source)])


def drop_tables() -> None:
    """Drop every table of the configured PostgreSQL database: an older dump would leave the newer ones standing."""
    with db.engine.begin() as connection:
        quote = connection.dialect.identifier_preparer.quote
        for name in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE {quote(name)} CASCADE"))


def _run(program: str, arguments: list[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise CannotDump(f"{program} was not found. On Debian and Ubuntu: sudo apt-get install postgresql-client")
    command = [found, *arguments]
    ran = subprocess.run(command, env=_password(), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CannotDump(f"{program} failed: {(ran.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


def _conninfo(url: URL) -> str:
    """Return the address as PostgreSQL's own programs read it; others can read a command line, so no password."""
    given = url.translate_connect_args(database="dbname", username="user")
    given.pop("password", None)
    return make_conninfo("", **{**url.query, **given})


def _password() -> Mapping[str, str]:
    password = db.engine.url.password
    return {**os.environ, "PGPASSWORD": str(password)} if password else os.environ
