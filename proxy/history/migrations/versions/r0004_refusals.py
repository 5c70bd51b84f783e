"""Refusals, and the versions of plans, by which a request is explained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tollgate_refusals",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("refusal", sa.Text(), nullable=False),
    )
    op.create_index("tollgate_refusals_of_app", "tollgate_refusals", ["app", "time"])
    op.create_index("tollgate_refusals_by_time", "tollgate_refusals", ["time"])
    op.create_table(
        "tollgate_plans",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("plan", sa.Text(), nullable=False),
    )
