"""What every table shares: the declarative base, key and time types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Engine, Integer, MetaData, String, TypeDecorator, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, registry

from campaigns import clock
from campaigns.errors import CarillonError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

BigId = BigInteger().with_variant(Integer, "sqlite")
LARGEST_ID = 2**63 - 1  # what the databases' integers hold; a larger number in an address names nobody
Json = JSON().with_variant(JSONB, "postgresql")
# Addresses in lower case are compared byte by byte: an index in any other order cannot find what begins with "kim".
KeyText = String(254).with_variant(String(254, collation="C"), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite keeps it without a zone, so it is given back its UTC on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was about to be stored; use clock.utcnow()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The declarative base of every table."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: Json, dict[str, str]: Json},
    )


def write_json(value: Any) -> str:
    """Return a value as JSON with its letters as they are.

    SQLite compares a path with the stored text of a key, so a Korean key written as \\u escapes is never found.
    """
    return json.dumps(value, ensure_ascii=False)


def sqlite_connect_args() -> dict[str, Any]:
    """Return what the SQLite driver is opened with.

    With isolation level IMMEDIATE the driver runs reads outside a transaction and takes the write lock with the first
    INSERT, UPDATE or DELETE. A transaction that began by reading could not become a writer once somebody else has
    written ("database is locked", at once, whatever the timeout); this one waits its turn instead.
    """
    return {"isolation_level": "IMMEDIATE", "timeout": 30}


def prepare_sqlite(engine: Engine) -> None:
    """Make SQLite keep our promises: write-ahead log, durable commits, foreign keys, waiting."""

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


CLOCK_SECONDS = 60  # how long we trust what we know of the server's clock
LONGEST_LOOK_SECONDS = 1.0  # a look that took longer says too little of when it was

# A machine that vanishes says no goodbye. Without these, by the system's defaults, whoever asked it something waits for
# a quarter of an hour, and whoever waits for its answer for two hours, with all locks. Half a minute for us and the
# server; a Unix socket takes them for nothing. Seconds, and milliseconds for what has not been taken.
_KEEPALIVES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
_LIMITS = """
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000; SET idle_in_transaction_session_timeout = 300000
"""


class WrongEncoding(CarillonError):
    """The database cannot hold every letter; the message says how to make one that can."""


def postgresql_connect_args() -> dict[str, Any]:
    """Return what the PostgreSQL driver is opened with."""
    return {"connect_timeout": 5, "application_name": "carillon", **_KEEPALIVES}


def prepare_postgresql(engine: Engine) -> None:
    """Refuse a database that cannot hold every letter, share its clock, and leave no lock behind."""
    refuse_other_encodings(engine)
    let_go_of_the_vanished(engine)
    follow_its_clock(engine)


def refuse_other_encodings(engine: Engine) -> None:
    """Make a PostgreSQL database that is not in UTF-8 say so, as one made on a machine without a locale is not."""

    def look(connection: Any, _record: Any) -> None:
        encoding = (connection.pgconn.parameter_status(b"server_encoding") or b"").decode()
        if encoding != "UTF8":
            raise WrongEncoding(
                f"The database is in {encoding or 'an unknown encoding'}, and has to be in UTF8. Make it anew: "
                "createdb --owner carillon --template template0 --encoding UTF8 --locale C.UTF-8 carillon"
            )

    # Before SQLAlchemy's own first look, which cannot read what such a database says.
    event.listen(engine, "connect", look, insert=True)


def let_go_of_the_vanished(engine: Engine) -> None:
    """Have the server end our transaction when this machine has vanished, or does nothing with it for five minutes.

    By itself it keeps the locks of a machine that is cut off, and the sweep would wait for them.
    """

    @event.listens_for(engine, "connect")
    def set_limits(connection: Any, _record: Any) -> None:
        connection.execute(_LIMITS)
        connection.commit()


def follow_its_clock(engine: Engine) -> None:
    """Go by the database server's clock, as all others do who use it (clock.py); look at it again every minute.

    The first look comes with the first connection, before anything is written down. One that fails says nothing: what
    the connection was wanted for will meet the same trouble, and tell.
    """
    looked_at: float | None = None

    @event.listens_for(engine, "checkout")
    def look(connection: Any, _record: Any, _proxy: Any) -> None:
        nonlocal looked_at
        before = clock.steady_seconds()
        if looked_at is not None and before - looked_at < CLOCK_SECONDS:
            return
        with suppress(connection.Error):
            moment = connection.execute("SELECT clock_timestamp()").fetchone()[0]
            connection.rollback()
            after = clock.steady_seconds()
            if looked_at is None or after - before < LONGEST_LOOK_SECONDS:
                clock.follow(moment, at_seconds=(before + after) / 2)
                looked_at = after
