"""One head, numbered in order, and the tables are what the models say, on both databases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask_migrate import upgrade
from sqlalchemy import inspect, text

from app import create_app
from campaigns.config import load_settings
from campaigns.database_version import known_revisions
from campaigns.extensions import db

VERSIONS = Path(__file__).resolve().parents[2] / "campaigns" / "migrations" / "versions"


def test_revisions_are_numbered_without_gaps_and_each_follows_the_last():
    files = sorted(VERSIONS.glob("*.py"))
    for number, path in enumerate(files, start=1):
        text = path.read_text()
        assert path.name.startswith(f"{number:04}_")
        assert re.search(rf'^revision = "{number:04}"$', text, re.MULTILINE)
        before = "None" if number == 1 else f'"{number - 1:04}"'
        assert re.search(rf"^down_revision = {before}$", text, re.MULTILINE)


@pytest.mark.both_databases
def test_the_migrated_tables_are_the_models(app):
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, db.metadata) == []


def test_the_migrated_tables_that_give_no_id_again_are_the_models(app):
    """What the comparison does not see: SQLite forgets it when a later migration makes such a table anew."""
    made = text("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%PRIMARY KEY AUTOINCREMENT%'")
    wanted = {name for name, table in db.metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]}
    assert set(db.session.scalars(made)) == wanted


def test_what_was_there_stays_and_what_is_new_may_be_left_out(tmp_path):
    """Processes of the version before go on reading and writing until they are started again."""
    url = f"sqlite:///{tmp_path / 'site.sqlite'}"
    settings = {"DATABASE_URL": url, "INSTANCE_DIR": str(tmp_path), "TESTING": "true", "LOG_LEVEL": "warning"}
    with create_app(load_settings(settings)).app_context():
        before = {}
        for revision in known_revisions():
            upgrade(revision=revision)
            tables = inspect(db.engine)
            after = {
                name: {each["name"]: each for each in tables.get_columns(name)} for name in tables.get_table_names()
            }
            for table, columns in before.items():
                assert columns.keys() <= after.get(table, {}).keys(), f"{revision} takes columns from {table}"
                new = [column for name, column in after[table].items() if name not in columns]
                needed = [each["name"] for each in new if not each["nullable"] and each["default"] is None]
                assert needed == [], f"{revision} asks for a value in {table} that the version before does not give"
            before = after
