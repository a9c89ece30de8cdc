"""Test mails and looks at the sending domain, done by tasks and kept with what came of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from campaigns.database import BigId, Json, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "settings_check",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("about", sa.String(length=300), nullable=False),
        sa.Column("asked", Json, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("result", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_check")),
    )
    with op.batch_alter_table("settings_check", schema=None) as batch_op:
        batch_op.create_index("ix_settings_check_about", ["kind", "about", "id"], unique=False)
