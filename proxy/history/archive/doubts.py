"""Says of requests whether their events are in the history, for workers that cannot find them in a trimmed stream.

A worker whose settlement got no reply looks for its event before it writes it again. It may have been written, archived
and trimmed in the meantime. The archiver is the one process that has both Redis and the history at hand.
"""

from __future__ import annotations

from typing import Any

from proxy.history import queries
from proxy.history.archive.context import TagContext

KEPT_SECONDS = 86_400
"""How long an answer is kept; a worker that comes later has to wait for another."""

_ASKED = b"?"


async def dispel(context: TagContext) -> None:
    """Look for the requests that workers have doubts about, and write down what the history says."""
    client: Any = context.client
    key = context.keys.shared(context.tag).doubts
    ids = [name.decode() for name, said in (await client.hgetall(key)).items() if said == _ASKED]
    if ids:
        known = await context.history.read(queries.known_ids, ids)
        await client.hset(key, mapping={each: "known" if each in known else "unknown" for each in ids})
        await client.expire(key, KEPT_SECONDS)
