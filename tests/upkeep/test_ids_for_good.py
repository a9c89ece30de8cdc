"""No id is given again that a link, a mail or the activity log may name; how SQLite comes to it from migration 0011.

The upgrade makes four tables anew to which nearly all others refer, and nothing but that may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import Column, Connection, MetaData, Table, delete, func, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from campaigns.accounts.models import User
from campaigns.clock import utcnow
from campaigns.compose.models import Campaign
from campaigns.extensions import db
from campaigns.mail.models import OutboxMail
from campaigns.reports.models import Digest
from tests.people import make_user
from tests.upkeep.test_ledger_without_lookups import everything, site_at
from tests.upkeep.test_upgrade import RELEASE_NAMES, old_database  # noqa: F401 - a fixture

REBUILT = ("users", "campaign", "outbox_mail", "digest")
FILLINGS = {str: "x", int: 1, bool: False, object: {}, datetime: datetime(2026, 1, 1), date: date(2026, 1, 1)}
from_release = pytest.mark.parametrize("release", RELEASE_NAMES)


@pytest.fixture
def before(old_database: str, tmp_path: Path) -> Iterator[Flask]:  # noqa: F811
    """A site at migration 0011 with rows in every table."""
    with site_at("0011", old_database, tmp_path) as app:
        with db.engine.begin() as connection:
            fill(connection)
        yield app


def fill(connection: Connection) -> None:
    """Add one more user, and a row to every table that refers to another one or is empty: theirs, where it can be."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        is_empty = connection.scalar(select(func.count()).select_from(table)) == 0
        if table.name == "users" or table.foreign_keys or is_empty:
            connection.execute(insert(table).values(filling(connection, table)))


def filling(connection: Connection, table: Table) -> dict[str, Any]:
    """Return a value for each column that needs one, and the newest row for each that refers to another table."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.foreign_keys:
            (key,) = column.foreign_keys
            values[column.name] = connection.scalar(select(func.max(key.column)))
        elif not (column.nullable or column.server_default or is_given(column)):
            values[column.name] = FILLINGS[column.type.python_type]
    return values


def is_given(column: Column[Any]) -> bool:
    """Tell whether SQLite gives the column a number of its own."""
    return column.primary_key and len(column.table.primary_key) == 1 and column.type.python_type is int


def shape() -> dict[str, list[Any]]:
    """Return what is said of each table besides its rows, and every index and trigger in full."""
    found = inspect(db.engine)
    made = text("SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL")
    with db.engine.connect() as connection:
        others = {name: [statement] for name, statement in connection.execute(made)}
    return others | {
        name: [
            [
                (each["name"], str(each["type"]), each["nullable"], str(each["default"]).strip("()"))
                for each in found.get_columns(name)
            ],
            sorted(found.get_foreign_keys(name), key=repr),
            sorted(found.get_unique_constraints(name), key=repr),
            found.get_check_constraints(name),
            found.get_pk_constraint(name)["constrained_columns"],
        ]
        for name in found.get_table_names()
    }


def referring() -> list[tuple[str, str, str, str]]:
    """Return (table, column, table referred to, what follows its deletion) for every foreign key to a rebuilt table."""
    found = inspect(db.engine)
    return [
        (name, key["constrained_columns"][0], key["referred_table"], key["options"]["ondelete"])
        for name in found.get_table_names()
        for key in found.get_foreign_keys(name)
        if key["referred_table"] in REBUILT
    ]


@from_release
def test_every_row_of_every_table_stays(before: Flask) -> None:
    rows, shapes = everything(), shape()
    assert [name for name, found in rows.items() if not found] == []
    upgrade(revision="0012")
    assert everything() == rows
    assert shape() == shapes


@from_release
def test_foreign_keys_work_after_it(before: Flask) -> None:
    upgrade(revision="0012")
    keys = referring()
    assert len(keys) > 15
    with db.engine.connect() as connection:
        last = {name: connection.scalar(text(f"SELECT max(id) FROM {name}")) for name in REBUILT}
        for table, column, referred, _ in keys:
            named = text(f"SELECT count(*) FROM {table} WHERE {column} = {last[referred]}")
            assert connection.scalar(named), f"nothing in {table} refers to {referred}"
            with pytest.raises(IntegrityError), connection.begin_nested():
                connection.execute(text(f"UPDATE {table} SET {column} = 4000000"))
        for referred in ("campaign", "users"):
            connection.execute(text(f"DELETE FROM {referred} WHERE id = {last[referred]}"))
        for table, column, referred, then in keys:
            named = text(f"SELECT count(*) FROM {table} WHERE {column} = {last[referred]}")
            assert then in {"CASCADE", "SET NULL"}
            assert connection.scalar(named) == 0, f"{table} still refers to {referred}"


NAMING: list[tuple[str, str, dict[str, Any]]] = [
    ("users", "delivery", {"user_id": 7000}),
    ("users", "refused_login", {"user_id": 7000}),
    ("users", "campaign", {"reopening_asked_by_id": 7000}),
    ("users", "audit_entry", {"actor_id": 7000}),
    ("users", "audit_entry", {"target_kind": "user", "target_id": "7000"}),
    ("users", "outbox_mail", {"context": {"user_id": 7000}}),
    ("users", "outbox_mail", {"context": {"campaign_id": 1, "as_user_id": 7000}}),
    ("users", "outbox_mail", {"context": {"campaign_id": 1, "user_id": 1, "by_id": 7000}}),
    ("campaign", "delivery", {"campaign_id": 7000}),
    ("campaign", "delivery_attempt", {"campaign_id": 7000}),
    ("campaign", "audit_entry", {"target_kind": "campaign", "target_id": "7000"}),
    ("campaign", "audit_entry", {"target_kind": "delivery", "target_id": "7000/3"}),
    ("campaign", "outbox_mail", {"context": {"campaign_id": 7000}}),
    ("outbox_mail", "account_link", {"mail_id": 7000}),
    ("outbox_mail", "digest", {"mail_id": 7000}),
    ("digest", "outbox_mail", {"context": {"digest_id": 7000}}),
]
OTHERS: dict[str, dict[str, Any]] = {
    "users": {"address_key": "y"},
    "digest": {"local_date": date(2026, 1, 2)},
    "delivery": {"position": 7000},
}


def add(name: str, values: Mapping[str, Any]) -> int:
    """Add one more row to a table, saying nothing of its id; returns the number that SQLite has given it."""
    with db.engine.begin() as connection:
        table = Table(name, MetaData(), autoload_with=connection)
        added = insert(table).values({**filling(connection, table), **OTHERS.get(name, {}), **values})
        return int(connection.execute(added).lastrowid)


@from_release
@pytest.mark.parametrize("table", REBUILT)
def test_ids_go_on_where_they_are(before: Flask, table: str) -> None:
    with db.engine.connect() as connection:
        last = connection.scalar(text(f"SELECT max(id) FROM {table}")) or 0
    upgrade(revision="0012")
    assert add(table, {}) == last + 1


@from_release
@pytest.mark.parametrize(("table", "where", "values"), NAMING)
def test_ids_go_on_after_what_is_still_named(before: Flask, table: str, where: str, values: dict[str, Any]) -> None:
    add(where, values)
    upgrade(revision="0012")
    assert add(table, {}) == 7001


@pytest.mark.both_databases
@pytest.mark.parametrize("model", [User, Campaign, OutboxMail, Digest])
def test_no_id_is_given_again(app: Flask, model: Any) -> None:
    reader, now = make_user("reader@example.com"), utcnow()
    values: dict[Any, dict[str, Any]] = {
        User: {"email": "x@example.com", "address_key": "x@example.com"},
        Campaign: {},
        OutboxMail: {"kind": "x", "to_address": "x@example.com", "language": "en", "expires_at": now},
        Digest: {"user_id": reader.id, "local_date": now.date(), "tells_from": now, "tells_until": now},
    }
    given = []
    for _ in range(2):
        given.append(db.session.scalar(insert(model).values(**values[model]).returning(model.id)))
        db.session.execute(delete(model).where(model.id == given[-1]))
        db.session.commit()
    assert given[1] > given[0]
