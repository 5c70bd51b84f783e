"""The state of the history, for people."""

from __future__ import annotations

from typing import Any

from proxy.history import queries
from proxy.history.archive.groups import behind, forget, groups, positions
from proxy.history.batch import START, Entry
from proxy.history.reader import LedgerSources
from proxy.store.clients import now_ms

COUNTED = 100_000
"""Most waiting entries of a stream that are counted one by one."""
IN_USE_MS = 60_000
"""Milliseconds without a sign of a reader after which an export group is not in use; exporters renew within seconds."""


class GroupInUse(Exception):
    """An exporter reads for the group."""


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
                "groups": await _groups(sources, number),
            }
        )
    return found


async def forget_group(sources: LedgerSources, name: str) -> int:
    """Remove an export group from Redis and the history; return the number of streams that it was in.

    Raises `GroupInUse` where an exporter reads for it.
    """
    client: Any = sources.client
    found = set()
    for tag in sources.keys.tags:
        stream = sources.keys.shared(tag).events
        for group in await groups(client, stream):
            if group.name == name:
                if group.idle_ms is not None and group.idle_ms < IN_USE_MS:
                    raise GroupInUse
                found.add(stream)
    for stream in found:
        await client.xgroup_destroy(stream, name)
    return max(len(found), await sources.history.write(forget, name))


async def _groups(sources: LedgerSources, number: int) -> list[dict[str, Any]]:
    """Return the export groups of a stream, those that only the history knows included: they hold up pruning."""
    reader: Any = sources.client
    stream = sources.keys.shared(sources.keys.tags[number]).events
    known = await sources.history.read(positions, number)
    found = []
    for each in await groups(reader, stream):
        known.pop(each.name, None)
        waiting = len(await reader.xrange(stream, str(each.needs), count=COUNTED))
        found.append({"name": each.name, "waiting": waiting, "in_redis": True})
    for name, position in sorted(known.items()):
        waiting = await sources.history.read(behind, number, position.seq, COUNTED)
        found.append({"name": name, "waiting": waiting, "in_redis": False})
    return found


async def lag_seconds(sources: LedgerSources) -> float:
    """Return the age of the oldest event that is not archived, in seconds; 0 if nothing waits."""
    reader: Any = sources.client
    cursors = await sources.history.read(queries.cursors)
    oldest: list[int] = []
    for number, tag in enumerate(sources.keys.tags):
        cursor = cursors.get(number)
        waiting = await reader.xrange(
            sources.keys.shared(tag).events, (cursor.entry if cursor else START).next, count=1
        )
        oldest += [Entry.parse(entry).ms for entry, _ in waiting]
    return max(0, await now_ms(sources.client) - min(oldest)) / 1_000 if oldest else 0.0
