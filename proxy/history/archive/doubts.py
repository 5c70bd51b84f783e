"""Says of requests whether their events are in the history, for workers that cannot find them in a trimmed stream.

A worker whose settlement got no reply looks for its event before it writes it again. It may have been written, archived
and trimmed in the meantime. The archiver is the one process that has both Redis and the history at hand.

An event that is in the history, but that this Redis has neither had nor trimmed, was lost in a failover after it was
archived, and the totals of Redis lack it. It counts as unknown; written again, it is recognised by the archiver.
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
    doubts = (await client.hgetall(key)).items()
    asked = {name.decode(): int(said[1:]) for name, said in doubts if said.startswith(_ASKED)}
    if asked:
        known = await context.history.read(queries.entries_of, list(asked))
        gone = {each for each, trimmed in asked.items() if each in known and known[each] < trimmed}
        await client.hset(key, mapping={each: "known" if each in gone else "unknown" for each in asked})
        await client.expire(key, KEPT_SECONDS)
