"""Alembic's environment: runs migrations on the application's own database connection."""

from __future__ import annotations

from alembic import context
from flask import current_app

from campaigns.audit.triggers import guard_log
from campaigns.delivery.erasing import forget_with_person, stop_forgetting

db = current_app.extensions["migrate"].db


def run_migrations() -> None:
    """Bring the database to the wanted revision, in one transaction where the database can."""
    with db.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            # Alembic changes a table by making it anew, and dropping the old one would take along every row that
            # refers to it (https://www.sqlite.org/lang_altertable.html, section 7, step 1).
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            # SQLite's driver begins no transaction before it makes a table: an upgrade that is killed would leave some
            # of them behind, and a process that still runs could write between two steps.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            # Two processes that start together must not both migrate.
            if not is_sqlite:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4025000001)")
            stop_forgetting(connection)
            context.run_migrations()
            guard_log(connection)
            forget_with_person(connection)
            if is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
                raise RuntimeError(f"the migration would leave rows that refer to nothing: {broken[:3]}")
        connection.commit()
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")


run_migrations()
