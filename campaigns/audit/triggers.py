"""What makes the log append-only in the database itself, for whoever writes to it by whatever way.

An entry may be added unsealed, be sealed once, and be deleted only when it stands before the anchor (models.AuditHead).
The ends of the chain only move on. Whoever may drop a trigger can get around this; the chain then tells.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, event, inspect

from campaigns.audit.models import AuditEntry, AuditHead
from campaigns.extensions import db

REFUSAL: Final = "the activity log is append-only"
_SEAL: Final = ("sequence", "previous_hash", "hash")
_KEPT: Final = tuple(column.name for column in AuditEntry.__table__.columns if column.name not in _SEAL)
_BEFORE_ANCHOR: Final = "OLD.sequence <= (SELECT anchor_sequence FROM audit_head WHERE id = 1)"
_GOES_BACK: Final = "NEW.sequence < OLD.sequence OR NEW.anchor_sequence < OLD.anchor_sequence"


def guard_log(connection: Connection) -> None:
    """Make the triggers, where the log's tables are there already; harmless to repeat. Commits nothing.

    Called after every migration: SQLite rebuilds a table for most changes to it, and forgets its triggers.
    """
    tables = {AuditEntry.__tablename__, AuditHead.__tablename__}
    if not tables <= set(inspect(connection).get_table_names()):
        return
    statements = _sqlite() if connection.dialect.name == "sqlite" else _postgresql()
    for statement in statements:
        connection.exec_driver_sql(statement)


@event.listens_for(db.metadata, "after_create")
def _guard_created(_metadata: Any, connection: Connection, **_: Any) -> None:
    guard_log(connection)


def _sqlite() -> list[str]:
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in _KEPT)
    is_no_seal = f"OLD.sequence IS NOT NULL OR NEW.sequence IS NULL OR {changed}"
    rules = {
        "audit_entry_insert": ("INSERT ON audit_entry", "NEW.sequence IS NOT NULL"),
        "audit_entry_update": ("UPDATE ON audit_entry", is_no_seal),
        "audit_entry_delete": ("DELETE ON audit_entry", f"({_BEFORE_ANCHOR}) IS NOT TRUE"),
        "audit_head_update": ("UPDATE ON audit_head", _GOES_BACK),
        "audit_head_delete": ("DELETE ON audit_head", "TRUE"),
    }
    drops = [f"DROP TRIGGER IF EXISTS {name}" for name in rules]
    return drops + [
        f"CREATE TRIGGER {name} BEFORE {what} WHEN {when} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        for name, (what, when) in rules.items()
    ]


def _postgresql() -> list[str]:
    without_seal = " - ".join(f"'{name}'" for name in _SEAL)
    return [
        f"""CREATE OR REPLACE FUNCTION audit_entry_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.sequence IS NULL THEN RETURN NEW; END IF;
        ELSIF TG_OP = 'UPDATE' THEN
            IF OLD.sequence IS NULL AND NEW.sequence IS NOT NULL
                AND to_jsonb(NEW) - {without_seal} = to_jsonb(OLD) - {without_seal} THEN RETURN NEW; END IF;
        ELSIF TG_OP = 'DELETE' THEN
            IF {_BEFORE_ANCHOR} THEN RETURN OLD; END IF;
        END IF;
        RAISE EXCEPTION '{REFUSAL}'; END $$""",
        f"""CREATE OR REPLACE FUNCTION audit_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'UPDATE' THEN IF NOT ({_GOES_BACK}) THEN RETURN NEW; END IF; END IF;
        RAISE EXCEPTION '{REFUSAL}'; END $$""",
        *_postgresql_trigger("audit_entry", "BEFORE INSERT OR UPDATE OR DELETE", "ROW"),
        *_postgresql_trigger("audit_head", "BEFORE UPDATE OR DELETE", "ROW"),
        *_postgresql_trigger("audit_entry", "BEFORE TRUNCATE", "STATEMENT"),
        *_postgresql_trigger("audit_head", "BEFORE TRUNCATE", "STATEMENT"),
    ]


def _postgresql_trigger(table: str, moment: str, each: str) -> list[str]:
    name = f"{table}_{each.lower()}"
    return [
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} {moment} ON {table} FOR EACH {each} EXECUTE FUNCTION {table}_guard()",
    ]
