"""More room in the pages of the ledger: with 0003's, every other row that was settled moved to another page."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A claimed row is longer than a frozen one, by the lease's token, and a settled one by time and answer too: three
    # versions of a row take 100, 124 and 150 octets or more. What no longer fits is written to another page and to both
    # indexes, so that in the end the table is as large as with all the room at once.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery SET (fillfactor = 30)")
