"""The state of the history, for people."""

from __future__ import annotations

from typing import Any

from proxy.history import queries
from proxy.history.archive.groups import groups
from proxy.history.batch import START
from proxy.history.reader import LedgerSources

COUNTED = 100_000
"""Most waiting entries of a stream that are counted one by one."""


async def streams(sources: LedgerSources) -> list[dict[str, Any]]:
    """Return the state of each stream that has or had entries: counts of them, and times in Unix milliseconds."""
    reader: Any = sources.client
    keys = sources.keys
    cursors = await sources.history.read(queries.cursors)
    found = []
    for number, tag in enumerate(keys.tags):
        stream, cursor = keys.shared(tag).events, cursors.get(number)
        length = await reader.xlen(stream)
        if not length and (cursor is None or cursor.entry == START):
            continue
        after = cursor.entry if cursor else START
        waiting = len(await reader.xrange(stream, after.next, count=COUNTED))
        found.append(
            {
                "stream": stream,
                "in_redis": length,
                "waiting": waiting,
                "archived_to": cursor.entry.ms if cursor and cursor.entry > START else None,
                "trimmed_to": cursor.trimmed.ms if cursor and cursor.trimmed > START else None,
                "closed_to": cursor.closed.isoformat() if cursor and cursor.closed else None,
                "groups": [
                    {"name": each.name, "waiting": len(await reader.xrange(stream, str(each.needs), count=COUNTED))}
                    for each in await groups(sources.client, stream)
                ],
            }
        )
    return found
