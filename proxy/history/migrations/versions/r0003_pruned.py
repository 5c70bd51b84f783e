"""Up to where the events of each hash tag were pruned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("tollgate_cursors", sa.Column("pruned_ms", sa.BigInteger(), nullable=False, server_default="0"))
