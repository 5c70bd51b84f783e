"""The first schema: events, totals, wallets, cursors, export groups.

Where the extension TimescaleDB is present, events are a hypertable with a chunk for each week, which is compressed
after another. Its unique indexes must hold the time, so that the archiver alone sees to unique ids there.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WEEK_MS = 7 * 86_400_000
_HYPERTABLE = (
    f"SELECT create_hypertable('tollgate_events', 'time', chunk_time_interval => {_WEEK_MS})",
    "CREATE FUNCTION tollgate_now_ms() RETURNS bigint LANGUAGE sql STABLE "
    "AS 'SELECT (extract(epoch FROM now()) * 1000)::bigint'",
    "SELECT set_integer_now_func('tollgate_events', 'tollgate_now_ms')",
    "ALTER TABLE tollgate_events SET (timescaledb.compress, timescaledb.compress_segmentby = 'app', "
    "timescaledb.compress_orderby = 'time, seq')",
    f"SELECT add_compression_policy('tollgate_events', BIGINT '{2 * _WEEK_MS}')",
)


def upgrade() -> None:
    """Create everything."""
    identity = op.create_table("tollgate_identity", sa.Column("id", sa.Text(), primary_key=True))
    op.bulk_insert(identity, [{"id": uuid.uuid4().hex}])
    sqlite = op.get_bind().dialect.name == "sqlite"
    hypertable = not sqlite and _timescale()
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    exact: sa.types.TypeEngine[Any] = sa.Text() if sqlite else sa.Numeric()
    _events(big, exact, hypertable=hypertable)
    op.create_index("tollgate_events_of_app", "tollgate_events", ["app", "time", "seq"])
    op.create_index("tollgate_events_of_tag", "tollgate_events", ["tag", "seq"])
    if hypertable:
        for statement in _HYPERTABLE:
            op.execute(statement)
    key = [sa.Column(name, sa.Text(), primary_key=True) for name in ("user_id", "key_id", "workload", "model", "what")]
    op.create_table(
        "tollgate_totals",
        sa.Column("app", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        *key,
        sa.Column("number", exact, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tollgate_wallets",
        sa.Column("app", sa.Text(), primary_key=True),
        sa.Column("user_id", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        *(sa.Column(name, exact, nullable=False) for name in ("granted", "debited", "spent")),
        sqlite_with_rowid=False,
    )
    _positions()


def _events(big: sa.types.TypeEngine[int], exact: sa.types.TypeEngine[Any], *, hypertable: bool) -> None:
    with_time = ["time"] if hypertable else []
    op.create_table(
        "tollgate_events",
        sa.Column("seq", big, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tag", sa.SmallInteger(), nullable=False),
        sa.Column("entry_ms", sa.BigInteger(), nullable=False),
        sa.Column("entry_seq", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("key_id", sa.Text()),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text()),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("amount", exact),
        sa.Column("gross", exact),
        sa.Column("wallet", sa.String(8), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text()),
        sa.PrimaryKeyConstraint("seq", *with_time),
        sa.UniqueConstraint("id", *with_time, name="tollgate_events_id"),
        sqlite_autoincrement=True,
    )


def _positions() -> None:
    op.create_table(
        "tollgate_cursors",
        sa.Column("tag", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("entry_ms", "entry_seq", "seq", "trimmed_ms", "trimmed_seq")
        ),
        sa.Column("closed", sa.Date()),
    )
    op.create_table(
        "tollgate_redis_days",
        sa.Column("tag", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("app", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
    )
    op.create_table(
        "tollgate_export_groups",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("tag", sa.SmallInteger(), primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("seq", "until", "entry_ms", "entry_seq", "changed_ms")
        ),
    )


def _timescale() -> bool:
    found = op.get_bind().execute(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"))
    return found.first() is not None
