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


def lacking_revision() -> str | None:
    """Return where a database stands that lacks what this version needs, else None; one that is newer lacks nothing.

    Raises SQLAlchemyError while it is away.
    """
    stands = database_revision()
    return stands if not stands or stands in known_revisions()[:-1] else None


def waits_for_upgrade(stands: str) -> str:
    """Return what a log says of a process that waits for its database."""
    words = "waiting for `flask upgrade`: the database stands at migration {}, and this version needs {}"
    return words.format(stands or "none", known_revisions()[-1])
