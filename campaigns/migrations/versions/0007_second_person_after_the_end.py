"""What a second person is asked to approve of a campaign that has ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from campaigns.database import BigId

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("reopening_asked", sa.String(length=20), nullable=False, server_default=""))
    op.add_column("campaign", sa.Column("reopening_people", sa.Integer(), nullable=True))
    op.add_column("campaign", sa.Column("reopening_asked_by_id", BigId, nullable=True))
