"""Forgetting a person, in the statement that deletes them, whichever way that comes.

The ledger's row stays when a user is deleted, and loses the user; its attempts go at that moment. Triggers do both,
because users are deleted in several places, and because a trigger waits for a settlement that is under way and so
misses none of what that adds. A foreign key would do the first, but look up and lock a user for each row of a freeze.
Attempts refer to no table either: to look up the user of each would cost the sending loop a lock and a search, and a
user deleted in mid-settlement would make the settlement fail.

A trigger sees only what is committed, so no deletion may overlap a freeze (`hold_deletions`): either the freeze no
longer finds the person, or the deletion finds their row.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, event, inspect, text

from campaigns.accounts.models import User
from campaigns.delivery.models import Delivery, DeliveryAttempt
from campaigns.extensions import db

_LOCK: Final = 4_025_000_002  # PostgreSQL knows such locks by a number; migrations have the one before


class _Trigger(NamedTuple):
    name: str
    table: str
    when: str
    statement: str


_ON_BOTH: Final = (
    _Trigger(
        name="delivery_forgets_attempts", table=Delivery.__tablename__,
        when="AFTER UPDATE OF user_id ON delivery FOR EACH ROW WHEN (NEW.user_id IS NULL)",
        statement="DELETE FROM delivery_attempt WHERE campaign_id = NEW.campaign_id AND position = NEW.position",
    ),
    _Trigger(
        name="delivery_forgets_person", table=User.__tablename__,
        when="AFTER DELETE ON users FOR EACH ROW",
        statement="UPDATE delivery SET user_id = NULL WHERE user_id = OLD.id",
    ),
)  # fmt: skip
# SQLite has one writer. It waits before it has locked a row: those of the person and of the campaigns they wrote are
# what a freeze or another deletion may want.
_ON_POSTGRESQL: Final = _Trigger(
    name="deletion_waits_for_freeze", table=User.__tablename__,
    when="BEFORE DELETE ON users FOR EACH STATEMENT",
    statement=f"PERFORM pg_advisory_xact_lock({_LOCK})",
)  # fmt: skip
_HOLD: Final = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")


def forget_with_person(connection: Connection) -> None:
    """Make the triggers, where their tables are there already; harmless to repeat. Commits nothing.

    Called after every migration: SQLite rebuilds a table for most changes to it, and forgets its triggers.
    """
    tables = {model.__tablename__ for model in (User, Delivery, DeliveryAttempt)}
    if tables <= set(inspect(connection).get_table_names()):
        is_sqlite = connection.dialect.name == "sqlite"
        for trigger in _ON_BOTH if is_sqlite else (*_ON_BOTH, _ON_POSTGRESQL):
            for statement in _sqlite(trigger) if is_sqlite else _postgresql(trigger):
                connection.exec_driver_sql(statement)


def stop_forgetting(connection: Connection) -> None:
    """Take the triggers away from SQLite until `forget_with_person` makes them again. Commits nothing.

    Called before every migration: SQLite cannot rebuild a table that the trigger of another one names.
    """
    if connection.dialect.name == "sqlite":
        for trigger in _ON_BOTH:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger.name}")


def hold_deletions() -> None:
    """Wait until those are gone who are being deleted, and let nobody else be deleted until the transaction ends.

    Several transactions may do so at once. Called before anything is locked: a deletion may be waiting for just that.
    """
    if db.engine.dialect.name == "postgresql":
        db.session.execute(_HOLD)


@event.listens_for(db.metadata, "after_create")
def _forget_in_created(_metadata: Any, connection: Connection, **_: Any) -> None:
    forget_with_person(connection)


def _sqlite(trigger: _Trigger) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {trigger.name}",
        f"CREATE TRIGGER {trigger.name} {trigger.when} BEGIN {trigger.statement}; END",
    ]


def _postgresql(trigger: _Trigger) -> list[str]:
    return [
        (
            f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {trigger.statement}; RETURN NULL; END $$"
        ),
        f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}",
        f"CREATE TRIGGER {trigger.name} {trigger.when} EXECUTE FUNCTION {trigger.name}()",
    ]
