"""The outbox of webhooks: which notification goes to which endpoint, and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "tollgate_webhooks",
        sa.Column("seq", big, primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("endpoint", "id", "owner", "kind")),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("lasting", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("tried", sa.BigInteger()),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.UniqueConstraint("endpoint", "id"),
    )
    op.create_index("tollgate_webhooks_of_endpoint", "tollgate_webhooks", ["endpoint", "seq"])
    op.create_index("tollgate_webhooks_of_owner", "tollgate_webhooks", ["owner"])
    op.create_index("tollgate_webhooks_by_state", "tollgate_webhooks", ["state", "endpoint", "seq"])
    op.create_index("tollgate_webhooks_by_time", "tollgate_webhooks", ["time"])
    op.create_table(
        "tollgate_webhook_cursors",
        sa.Column("tag", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
    )
