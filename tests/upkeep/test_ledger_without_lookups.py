"""From migration 0010 to 0011: the ledger's people are no foreign key any more, and nothing but that is gone.

SQLite makes the ledger anew for it, while a trigger of another table names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import inspect, text

from app import create_app
from campaigns.config import load_settings
from campaigns.extensions import db
from tests.upkeep.test_upgrade import RELEASE_NAMES, old_database  # noqa: F401 - a fixture

pytestmark = [pytest.mark.both_databases, pytest.mark.parametrize("release", RELEASE_NAMES)]

ATTEMPT = text("""
    INSERT INTO delivery_attempt (campaign_id, position, at, try_number, outcome, worker, server, phase, code, enhanced,
                                  actor)
    VALUES (1, :position, '2026-01-01 00:00:00', 1, 'deferred', '', '', '', 0, '', '')
""")
VISIT = text("""
    INSERT INTO tracked_visit (campaign_id, position, link, user_id, first_at, times, machine_times)
    SELECT 1, position, 0, user_id, '2026-01-01 00:00:00', 1, 0 FROM delivery WHERE position = :position
""")


@pytest.fixture
def before(old_database: str, tmp_path: Path) -> Iterator[Flask]:  # noqa: F811
    """A site at migration 0010 with a ledger, batches, attempts and visits."""
    with site_at("0010", old_database, tmp_path) as app:
        with db.engine.begin() as connection:
            for position in (1, 2):
                connection.execute(ATTEMPT, {"position": position})
                connection.execute(VISIT, {"position": position})
        yield app


@contextmanager
def site_at(revision: str, database_url: str, folder: Path) -> Iterator[Flask]:
    """Bring an old database to one migration, and enter its site."""
    settings = {"DATABASE_URL": database_url, "INSTANCE_DIR": str(folder), "TESTING": "true", "LOG_LEVEL": "warning"}
    app = create_app(load_settings(settings))
    with app.app_context():
        upgrade(revision=revision)
        yield app
        db.engine.dispose()


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables."""
    names = set(inspect(db.engine).get_table_names()) - {"alembic_version"}
    with db.engine.connect() as connection:
        return {
            name: sorted(map(tuple, connection.execute(text(f'SELECT * FROM "{name}"'))), key=repr) for name in names
        }


def test_every_row_of_every_table_stays(before: Flask) -> None:
    rows = everything()
    assert [len(rows[name]) for name in ("delivery", "batch", "delivery_attempt", "tracked_visit")] == [300, 6, 2, 2]
    indexes = inspect(db.engine).get_indexes("delivery")
    assert [each["name"] for each in inspect(db.engine).get_foreign_keys("delivery")] == ["fk_delivery_user_id_users"]
    upgrade(revision="0011")
    assert inspect(db.engine).get_foreign_keys("delivery") == []
    assert inspect(db.engine).get_indexes("delivery") == indexes
    assert everything() == rows


def test_people_are_forgotten_on_either_side_of_it(before: Flask) -> None:
    for position, revision in ((1, "0010"), (2, "0011")):
        upgrade(revision=revision)
        with db.engine.begin() as connection:
            connection.execute(
                text("DELETE FROM users WHERE id = (SELECT user_id FROM delivery WHERE position = :position)"),
                {"position": position},
            )
        rows = everything()
        assert sum(row[2] is None for row in rows["delivery"]) == position
        assert [len(rows[name]) for name in ("delivery", "delivery_attempt", "tracked_visit")] == [
            300, 2 - position, 2 - position,
        ]  # fmt: skip
