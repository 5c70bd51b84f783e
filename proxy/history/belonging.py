"""Which history a Redis belongs to: several machines with a file of their own each would divide its events.

The first archiver writes the name of its history into Redis. From then on only that history is written and read.
"""

from __future__ import annotations

from typing import Any

from middlewares.ledger.redis_keys import PREFIX
from proxy.control.records import Client
from proxy.history import queries
from proxy.history.store import History, HistoryUnavailable

KEY = f"{PREFIX}history"
"""String: name of the history that this Redis belongs to."""


async def claim(client: Client, history: History) -> None:
    """Let a Redis that has no history belong to this one. Raises `HistoryUnavailable` if it has another."""
    writer: Any = client
    await writer.set(KEY, await history.read(queries.identity), nx=True)
    await check(client, history)


async def check(client: Client, history: History) -> None:
    """Raise `HistoryUnavailable` if this Redis belongs to another history."""
    reader: Any = client
    name = await reader.get(KEY)
    if name is not None and name.decode() != await history.read(queries.identity):
        raise HistoryUnavailable(
            "the events of this Redis are archived in another history: set `history_url` to that on every machine, or, "
            "if it is lost, run `tollgate history adopt`"
        )


async def adopt(client: Client, history: History) -> None:
    """Let a Redis belong to this history from now on."""
    writer: Any = client
    await writer.set(KEY, await history.read(queries.identity))
