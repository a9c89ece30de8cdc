"""Openings and clicks: what a campaign counts, who opened and clicked, and the totals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from campaigns.database import BigId, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Both databases add such a column without touching the rows that are there.
    op.add_column(
        "campaign", sa.Column("tracks_opens", sa.Boolean(), server_default=sa.text("(false)"), nullable=False)
    )
    op.add_column(
        "campaign", sa.Column("tracks_clicks", sa.Boolean(), server_default=sa.text("(false)"), nullable=False)
    )
    op.create_table(
        "tracked_total",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("link", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("machine_times", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_tracked_total_campaign_id_campaign"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "link", name=op.f("pk_tracked_total")),
    )
    op.create_table(
        "tracked_visit",
        sa.Column("campaign_id", BigId, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("link", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("machine_times", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_tracked_visit_campaign_id_campaign"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_tracked_visit_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "position", "link", name=op.f("pk_tracked_visit")),
    )
    op.create_index(op.f("ix_tracked_visit_user_id"), "tracked_visit", ["user_id"], unique=False)
