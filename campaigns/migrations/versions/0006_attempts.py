"""Every attempt that was not accepted, and every decision about one, for the page that says why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from campaigns.database import BigId, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The trigger that forgets a deleted person's attempts is made after every migration (delivery/erasing.py).
    op.create_table(
        "delivery_attempt",
        sa.Column("id", BigId, nullable=False),
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("try_number", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=30), nullable=True),
        sa.Column("worker", sa.String(length=120), nullable=False),
        sa.Column("server", sa.String(length=260), nullable=False),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("enhanced", sa.String(length=11), nullable=False),
        sa.Column("reply", sa.String(length=300), nullable=True),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    op.create_index("ix_delivery_attempt_person", "delivery_attempt", ["campaign_id", "position"])
