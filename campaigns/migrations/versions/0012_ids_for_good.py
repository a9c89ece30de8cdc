"""SQLite gives no id again that a link, a mail or the activity log may still name; PostgreSQL never did.

Without AUTOINCREMENT it gives the largest id of a table to the next row once its own is deleted: the unsubscribe link of
one person then opened another's. A table cannot be changed to it, and is made anew. Its ids go on after the largest
that anything still names, for whose it was may be gone already.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Each table with all that names its rows without a foreign key, and so outlives them.
NAMED = {
    "users": (
        "max(id) FROM users",
        "max(user_id) FROM delivery",
        "max(user_id) FROM refused_login",
        "max(reopening_asked_by_id) FROM campaign",
        "max(actor_id) FROM audit_entry",
        "max(CAST(target_id AS INTEGER)) FROM audit_entry WHERE target_kind = 'user'",
        "max(CAST(json_extract(context, '$.user_id') AS INTEGER)) FROM outbox_mail",
        "max(CAST(json_extract(context, '$.as_user_id') AS INTEGER)) FROM outbox_mail",
        "max(CAST(json_extract(context, '$.by_id') AS INTEGER)) FROM outbox_mail",
    ),
    "campaign": (
        "max(id) FROM campaign",
        "max(campaign_id) FROM delivery",
        "max(campaign_id) FROM delivery_attempt",
        # A row of the ledger is named "campaign/position", of which the cast takes the first number.
        "max(CAST(target_id AS INTEGER)) FROM audit_entry WHERE target_kind IN ('campaign', 'delivery')",
        "max(CAST(json_extract(context, '$.campaign_id') AS INTEGER)) FROM outbox_mail",
    ),
    "outbox_mail": (
        "max(id) FROM outbox_mail",
        "max(mail_id) FROM account_link",
        "max(mail_id) FROM digest",
    ),
    "digest": (
        "max(id) FROM digest",
        "max(CAST(json_extract(context, '$.digest_id') AS INTEGER)) FROM outbox_mail",
    ),
}


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    for table, named in NAMED.items():
        with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
        largest = max(connection.exec_driver_sql(f"SELECT {each}").scalar() or 0 for each in named)
        # SQLite has noted the largest that is there, and nothing of a table without rows.
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
        connection.execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :largest)"),
            {"table": table, "largest": largest},
        )
