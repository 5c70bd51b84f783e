"""A consumer group over the usage streams of all hash tags: one exporter has an event until it is acknowledged."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from ulid import ULID

from proxy.history.belonging import check
from proxy.history.packing import Fields
from proxy.history.reader import LedgerSources
from proxy.reporting.export.backlog import GroupBacklog


@dataclass(frozen=True, slots=True)
class ClaimedEntry:
    """One entry of a stream that this exporter has claimed."""

    stream: str
    entry: bytes
    fields: Fields
    seq: int = 0
    """Its place in the history, where it was read from there; 0: it is from the stream."""


class ConsumerGroup:
    """One exporter's view of the group. Every call raises `redis.RedisError` if Redis cannot serve it.

    An entry that its exporter has neither acknowledged nor renewed for `takeover` seconds can be claimed by any other,
    as its exporter has died. Names of exporters are not used again.
    """

    def __init__(self, sources: LedgerSources, name: str, takeover: float) -> None:
        keys = sources.keys
        self._client = sources.client
        self._streams = [keys.shared(tag).events for tag in keys.tags]
        self._name = name
        self._takeover_ms = int(takeover * 1_000)
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{ULID()}"
        self._backlogs = [
            GroupBacklog(sources, number, name, self._consumer, self._takeover_ms) for number in range(len(keys.tags))
        ]

    async def create(self) -> None:
        """Create the group on every stream where it does not exist; it begins with the first event of the history."""
        await check(self._client, self._backlogs[0].history)
        for backlog in self._backlogs:
            await backlog.begin()

    async def abandoned(self, count: int) -> list[ClaimedEntry]:
        """Claim up to `count` entries of exporters that died."""
        found: list[ClaimedEntry] = []
        for stream in self._streams:
            position: Any = "0-0"
            while len(found) < count and position is not None:
                reply: Any = await self._client.xautoclaim(
                    stream, self._name, self._consumer, self._takeover_ms, position, count=count - len(found)
                )
                found += _deliveries(stream, reply[1])
                position = None if reply[0] == b"0-0" else reply[0]
        return found

    async def new(self, count: int) -> list[ClaimedEntry]:
        """Claim up to `count` new entries, those of the history first."""
        for backlog in self._backlogs:
            if archived := await backlog.take(count):
                return [
                    ClaimedEntry(backlog.stream, str(each.entry).encode(), each.fields, each.seq) for each in archived
                ]
        found: list[ClaimedEntry] = []
        self._streams.append(self._streams.pop(0))  # so that a busy stream does not hold up the others
        for stream in self._streams:
            if len(found) == count:
                break
            unread: Any = {stream: ">"}
            reply: Any = await self._client.xreadgroup(self._name, self._consumer, unread, count=count - len(found))
            for _, entries in reply:
                found += _deliveries(stream, entries)
        return found

    async def acknowledge(self, deliveries: Iterable[ClaimedEntry]) -> None:
        """Acknowledge delivered entries; no exporter gets them again."""
        deliveries = list(deliveries)
        for backlog in self._backlogs:
            if seqs := {each.seq for each in deliveries if each.seq and each.stream == backlog.stream}:
                await backlog.acknowledge(seqs)
        for stream, entries in _by_stream(deliveries).items():
            await self._client.xack(stream, self._name, *entries)

    async def set_aside(self, delivery: ClaimedEntry, reason: str) -> None:
        """Move an entry that the receiver will never accept to the stream of rejected ones, and acknowledge it."""
        fields = {**delivery.fields, b"entry": delivery.entry, b"reason": reason.encode()}
        await self._client.xadd(rejected(delivery.stream, self._name), cast("Any", fields))
        await self.acknowledge([delivery])

    async def renew(self, deliveries: Iterable[ClaimedEntry]) -> None:
        """Renew the claim on these entries."""
        await self._claim(deliveries, idle_ms=0)
        for backlog in self._backlogs:
            await backlog.renew()

    async def release(self, deliveries: Iterable[ClaimedEntry]) -> None:
        """Release these entries to any other exporter, at once."""
        await self._claim(deliveries, idle_ms=self._takeover_ms)
        for backlog in self._backlogs:
            await backlog.release()

    async def _claim(self, deliveries: Iterable[ClaimedEntry], idle_ms: int) -> None:
        for stream, entries in _by_stream(deliveries).items():
            await self._client.xclaim(
                stream, self._name, self._consumer, 0, cast("Any", entries), idle=idle_ms, justid=True
            )

    async def pending(self) -> int:
        """Return the number of entries that are claimed and not acknowledged, and of the history's that wait."""
        waiting = sum([await backlog.waiting() for backlog in self._backlogs])
        summaries = [await self._client.xpending(stream, self._name) for stream in self._streams]
        return waiting + sum(int(cast("Any", summary)["pending"]) for summary in summaries)

    async def leave(self) -> None:
        """Remove this exporter from the group, unless it still has an entry."""
        for stream in self._streams:
            consumers = await self._client.xinfo_consumers(stream, self._name)
            for consumer in cast("Any", consumers):
                if consumer["name"] == self._consumer.encode() and consumer["pending"] == 0:
                    await self._client.xgroup_delconsumer(stream, self._name, self._consumer)


def rejected(stream: str, group: str) -> str:
    """Return the name of the stream of rejected events, which keep their fields, `entry` id and the `reason`."""
    return f"{stream}:rejected:{group}"


def _deliveries(stream: str, entries: Iterable[tuple[bytes | None, Fields | None]]) -> list[ClaimedEntry]:
    """Return entries without those that were deleted meanwhile, which have no fields (Redis 6.2)."""
    return [
        ClaimedEntry(stream, entry, fields) for entry, fields in entries if entry is not None and fields is not None
    ]


def _by_stream(deliveries: Iterable[ClaimedEntry]) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for delivery in deliveries:
        if delivery.seq:
            continue
        found[delivery.stream].append(delivery.entry)
    return found
