"""Forgetting what was tried with a person, in the statement that deletes the person, whichever way that comes.

The ledger's row stays when a user is deleted, and loses the user (`ON DELETE SET NULL`); its attempts go at that
moment. A trigger does it because users are deleted in several places, and because it waits for a settlement that is
under way and so misses none of what that adds. Attempts refer to no table: to look up the user of each would cost the
sending loop a lock and a search, and a user deleted in mid-settlement would make the settlement fail.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, event, inspect

from campaigns.delivery.models import Delivery, DeliveryAttempt
from campaigns.extensions import db

_NAME: Final = "delivery_forgets_attempts"
_FORGET: Final = "DELETE FROM delivery_attempt WHERE campaign_id = NEW.campaign_id AND position = NEW.position"
_WHEN: Final = "AFTER UPDATE OF user_id ON delivery FOR EACH ROW WHEN (NEW.user_id IS NULL)"


def forget_with_person(connection: Connection) -> None:
    """Make the trigger, where its tables are there already; harmless to repeat. Commits nothing.

    Called after every migration: SQLite rebuilds a table for most changes to it, and forgets its triggers.
    """
    if {Delivery.__tablename__, DeliveryAttempt.__tablename__} <= set(inspect(connection).get_table_names()):
        for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgresql():
            connection.exec_driver_sql(statement)


@event.listens_for(db.metadata, "after_create")
def _forget_in_created(_metadata: Any, connection: Connection, **_: Any) -> None:
    forget_with_person(connection)


def _sqlite() -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {_NAME}", f"CREATE TRIGGER {_NAME} {_WHEN} BEGIN {_FORGET}; END"]


def _postgresql() -> list[str]:
    return [
        (
            f"CREATE OR REPLACE FUNCTION {_NAME}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_FORGET}; RETURN NULL; END $$"
        ),
        f"DROP TRIGGER IF EXISTS {_NAME} ON delivery",
        f"CREATE TRIGGER {_NAME} {_WHEN} EXECUTE FUNCTION {_NAME}()",
    ]
