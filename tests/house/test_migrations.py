"""One head, numbered in order, and the tables are what the models say, on both databases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

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
