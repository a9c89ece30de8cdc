"""Alembic's environment: runs migrations on the application's own database connection."""

from __future__ import annotations

from alembic import context
from flask import current_app

from campaigns.audit.triggers import guard_log

db = current_app.extensions["migrate"].db


def run_migrations() -> None:
    """Bring the database to the wanted revision, in one transaction where the database can."""
    with db.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            # Two processes that start together must not both migrate.
            if not is_sqlite:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4025000001)")
            context.run_migrations()
            guard_log(connection)
        connection.commit()


run_migrations()
