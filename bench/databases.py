"""Databases with people in them: made once, copied for each measure, dropped at the end."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import Engine, bindparam, create_engine, text

from bench.parts import BenchError, own_environment
from campaigns.clock import utcnow
from campaigns.database import Json, UtcDateTime, write_json
from campaigns.ops.processes import ROOT
from campaigns.ops.up import flask_command

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"

# The same people as in usual_ways.make_people.
_PEOPLE = text("""
    INSERT INTO users
        (email, address_key, name, language, attributes, created_at, updated_at, verified_at)
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)
    SELECT 'person' || i || '@example.com', 'person' || i || '@example.com', '김하늘 ' || i, 'ko',
           :attributes, :now, :now, :now
    FROM numbers
""").bindparams(bindparam("now", type_=UtcDateTime()), bindparam("attributes", type_=Json))


@dataclass
class SqlitePeople:
    """A migrated SQLite file with people in it, to be copied."""

    folder: Path
    kind: str = SQLITE
    _template: Path = field(init=False)

    def __post_init__(self) -> None:
        self._template = self.folder / "people.sqlite"

    def make(self, count: int) -> None:
        """Make the template."""
        url = f"sqlite:///{self._template}"
        migrate(url, self.folder / "making")
        add_people(url, count)
        with sqlite3.connect(self._template) as connection:
            connection.execute("ANALYZE")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    @contextmanager
    def copy(self, instance_dir: Path) -> Iterator[str]:
        """Copy it to where an installation without DATABASE_URL looks; yield the address."""
        path = instance_dir / "carillon.sqlite"
        shutil.copy(self._template, path)
        yield f"sqlite:///{path}"

    def drop(self) -> None:
        """Remove the template."""
        self._template.unlink(missing_ok=True)


@dataclass
class PostgresPeople:
    """A migrated PostgreSQL database with people in it, to be copied."""

    server: str
    folder: Path
    kind: str = POSTGRESQL
    _name: str = field(default_factory=lambda: f"carillon_bench_{os.getpid()}_{token_hex(3)}")

    def make(self, count: int) -> None:
        """Make the template."""
        self._run(f"CREATE DATABASE {self._name}")
        migrate(self._url(self._name), self.folder / "making")
        add_people(self._url(self._name), count)
        with psycopg.connect(self._url(self._name), autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    @contextmanager
    def copy(self, _instance_dir: Path) -> Iterator[str]:
        """Copy it; yield the copy's address, and drop the copy at the end."""
        name = f"{self._name}_run"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._name}")
        try:
            yield self._url(name)
        finally:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def drop(self) -> None:
        """Drop the template."""
        self._run(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement)

    def _url(self, name: str) -> str:
        return urlsplit(self.server)._replace(path=f"/{name}").geturl()


People = SqlitePeople | PostgresPeople


@contextmanager
def people_in(kinds: Sequence[str], count: int, folder: Path) -> Iterator[list[People]]:
    """Make the databases of these kinds with `count` people in each, and drop them at the end."""
    made: list[People] = []
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for kind in kinds:
            server = postgres_server() if kind == POSTGRESQL else None
            people = PostgresPeople(server, folder) if server else SqlitePeople(folder)
            made.append(people)
            people.make(count)
        yield made
    finally:
        for people in made:
            people.drop()


def postgres_server() -> str | None:
    """Return the address of a PostgreSQL server that answers, or None."""
    server = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(server, connect_timeout=3).close()
    except psycopg.OperationalError:
        return None
    return server


def migrate(url: str, instance_dir: Path) -> None:
    """Bring an empty database to the present tables. Raises BenchError."""
    instance_dir.mkdir(parents=True, exist_ok=True)
    environ = own_environment(DATABASE_URL=url, INSTANCE_DIR=str(instance_dir), LOG_LEVEL="warning")
    done = subprocess.run(
        flask_command("db", "upgrade"), cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"the database could not be prepared:\n{done.stderr[-2000:]}")


def add_people(url: str, count: int) -> None:
    """Add people who do not exist, all verified."""
    engine = engine_of(url)
    values = {"count": count, "now": utcnow(), "attributes": {"city": "서울", "plan": "basic"}}
    with engine.begin() as connection:
        connection.execute(_PEOPLE, values)
    engine.dispose()


def engine_of(url: str) -> Engine:
    """Return an engine of our own for looking at an installation's database from outside."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), json_serializer=write_json)
