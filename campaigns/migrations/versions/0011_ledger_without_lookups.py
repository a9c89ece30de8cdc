"""The ledger's people are no foreign key any more; triggers forget them instead (campaigns/delivery/erasing.py)."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_delivery_user_id_users"), type_="foreignkey")
