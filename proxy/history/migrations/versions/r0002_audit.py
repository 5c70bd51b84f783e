"""The audit log: chained lines, which the database itself refuses to change or delete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEPT = (
    *("seq", "id", "time", "entry_seq", "app", "actor_kind", "actor", "key_id", "action", "target_kind", "target"),
    *("result", "code", "numbers", "digest", "hash"),
)
"""Columns that never change; only the private part and its salt may go."""
_REFUSAL = "the audit log is append-only"

_SQLITE = (
    f"CREATE TRIGGER tollgate_audit_kept BEFORE UPDATE OF {', '.join(_KEPT)} ON tollgate_audit "
    f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    "CREATE TRIGGER tollgate_audit_private BEFORE UPDATE OF private, salt ON tollgate_audit "
    f"WHEN NEW.private IS NOT NULL OR NEW.salt IS NOT NULL BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER tollgate_audit_there BEFORE DELETE ON tollgate_audit BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
)
_POSTGRESQL = (
    "CREATE FUNCTION tollgate_audit_refuse() RETURNS trigger LANGUAGE plpgsql "
    f"AS $$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
    f"CREATE TRIGGER tollgate_audit_kept BEFORE UPDATE OF {', '.join(_KEPT)} ON tollgate_audit "
    "FOR EACH ROW EXECUTE FUNCTION tollgate_audit_refuse()",
    "CREATE TRIGGER tollgate_audit_private BEFORE UPDATE OF private, salt ON tollgate_audit FOR EACH ROW "
    "WHEN (NEW.private IS NOT NULL OR NEW.salt IS NOT NULL) EXECUTE FUNCTION tollgate_audit_refuse()",
    "CREATE TRIGGER tollgate_audit_there BEFORE DELETE OR TRUNCATE ON tollgate_audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION tollgate_audit_refuse()",
)


def upgrade() -> None:
    """Create the table, its head and its triggers."""
    op.create_table(
        "tollgate_audit",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("entry_seq", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("app", "actor_kind", "actor")),
        sa.Column("key_id", sa.Text()),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "target_kind", "target")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("result", "code", "numbers")),
        sa.Column("private", sa.Text()),
        sa.Column("salt", sa.Text()),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
    )
    op.create_index("tollgate_audit_by_time", "tollgate_audit", ["time", "entry_seq"])
    op.create_index("tollgate_audit_of_app", "tollgate_audit", ["app", "time", "entry_seq"])
    head = op.create_table(
        "tollgate_audit_head",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
