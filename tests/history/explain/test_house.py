"""What is looked for over all apps has an index of its own, so that a page takes no longer over many events."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from proxy.history.explain.house import marked_query
from proxy.history.store import History

pytestmark = pytest.mark.asyncio


def plan(connection: Connection) -> str:
    """Return how the database finds events that need attention."""
    dialect = connection.dialect.name
    query = str(marked_query(dialect, 3, (0, "")).compile(connection, compile_kwargs={"literal_binds": True}))
    if dialect == "postgresql":
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # it would rather scan an empty table
    explain = "EXPLAIN QUERY PLAN" if dialect == "sqlite" else "EXPLAIN"
    return " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {query}"))


async def test_marked_events_are_found_by_their_index(history: History) -> None:
    assert "tollgate_events_attention" in await history.read(plan)
