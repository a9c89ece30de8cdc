"""What was open in each digest, so that the next one can say what is new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from campaigns.database import Json

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("digest", sa.Column("told", Json, server_default=sa.text("'{}'"), nullable=False))
