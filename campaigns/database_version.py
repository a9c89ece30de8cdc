"""At which migration the database stands, and which this version of the program knows.

Read without Alembic: workers ask too, and would carry it along for one word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import inspect, text

from campaigns.extensions import db

MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"


def database_revision() -> str:
    """Return the migration that the database stands at; empty before the first."""
    with db.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def known_revisions() -> list[str]:
    """Return the migrations that this version knows, oldest first: a file's name begins with its number."""
    return [path.name.partition("_")[0] for path in sorted(MIGRATIONS.glob("[0-9]*.py"))]


def is_behind(revision: str) -> bool:
    """Tell whether a database that stands there lacks what this version needs; one that is newer lacks nothing."""
    known = known_revisions()
    return not revision or revision in known[:-1]
