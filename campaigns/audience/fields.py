"""The names of people's attributes, kept in a small table: reading them off a million people would take seconds."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.audience.models import UserField
from campaigns.clock import utcnow
from campaigns.extensions import db

MOST_FIELDS = 100
LONGEST_NAME = 60


def remember_fields(names: Collection[str]) -> None:
    """Note the names of attributes that people are about to get; in the caller's transaction, harmless to repeat."""
    missing = sorted(set(names) - set(field_names()))
    if not missing:
        return
    insert = postgresql.insert if db.engine.dialect.name == "postgresql" else sqlite.insert
    rows = [{"name": name, "created_at": utcnow()} for name in missing]
    db.session.execute(insert(UserField).on_conflict_do_nothing(index_elements=["name"]), rows)


def field_names() -> list[str]:
    """Return the names of all attributes that anybody may have, in alphabetical order."""
    return list(db.session.execute(select(UserField.name).order_by(UserField.name)).scalars())
