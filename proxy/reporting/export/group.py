"""A consumer group over the usage streams of all hash tags: each event is with one exporter until acknowledged."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.exceptions import ResponseError
from ulid import ULID

from proxy.control.records import Client
from proxy.reporting.stream import Fields


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry of a stream, in the hands of this exporter."""

    stream: str
    entry: bytes
    fields: Fields


class Group:
    """One exporter's view of the group. Every call raises `redis.RedisError` when Redis cannot serve.

    An entry that its exporter has neither acknowledged nor renewed for `takeover` seconds is free for any other: its
    exporter died. The name of an exporter is never used again, so nobody waits for the dead.
    """

    def __init__(self, client: Client, streams: Sequence[str], name: str, takeover: float) -> None:
        self._client = client
        self._streams = list(streams)
        self._name = name
        self._takeover_ms = int(takeover * 1_000)
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{ULID()}"

    async def create(self) -> None:
        """Make the group on every stream, from its first event, where it does not exist."""
        for stream in self._streams:
            try:
                await self._client.xgroup_create(stream, self._name, "0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def abandoned(self, count: int) -> list[Delivery]:
        """Take over up to `count` entries of exporters that died."""
        found: list[Delivery] = []
        for stream in self._streams:
            position: Any = "0-0"
            while len(found) < count and position is not None:
                reply: Any = await self._client.xautoclaim(
                    stream, self._name, self._consumer, self._takeover_ms, position, count=count - len(found)
                )
                found += _deliveries(stream, reply[1])
                position = None if reply[0] == b"0-0" else reply[0]
        return found

    async def new(self, count: int) -> list[Delivery]:
        """Take up to `count` entries that nobody has had."""
        found: list[Delivery] = []
        self._streams.append(self._streams.pop(0))  # a busy stream does not keep the others waiting
        for stream in self._streams:
            if len(found) == count:
                break
            unread: Any = {stream: ">"}
            reply: Any = await self._client.xreadgroup(self._name, self._consumer, unread, count=count - len(found))
            for _, entries in reply:
                found += _deliveries(stream, entries)
        return found

    async def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """They are where they belong; nobody gets them again."""
        for stream, entries in _by_stream(deliveries).items():
            await self._client.xack(stream, self._name, *entries)

    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Keep an entry that nobody will ever take in a stream of its own, and acknowledge it."""
        fields = {**delivery.fields, b"entry": delivery.entry, b"reason": reason.encode()}
        await self._client.xadd(rejected(delivery.stream, self._name), cast("Any", fields))
        await self.acknowledge([delivery])

    async def renew(self, deliveries: Iterable[Delivery]) -> None:
        """Still at work on these."""
        await self._claim(deliveries, idle_ms=0)

    async def release(self, deliveries: Iterable[Delivery]) -> None:
        """Leave these to any other exporter, at once."""
        await self._claim(deliveries, idle_ms=self._takeover_ms)

    async def _claim(self, deliveries: Iterable[Delivery], idle_ms: int) -> None:
        for stream, entries in _by_stream(deliveries).items():
            await self._client.xclaim(
                stream, self._name, self._consumer, 0, cast("Any", entries), idle=idle_ms, justid=True
            )

    async def pending(self) -> int:
        """Entries that some exporter has and has not acknowledged."""
        summaries = [await self._client.xpending(stream, self._name) for stream in self._streams]
        return sum(cast("Any", summary)["pending"] for summary in summaries)

    async def leave(self) -> None:
        """Take this exporter's name off the group, unless it still stands on an entry."""
        for stream in self._streams:
            consumers = await self._client.xinfo_consumers(stream, self._name)
            for consumer in cast("Any", consumers):
                if consumer["name"] == self._consumer.encode() and consumer["pending"] == 0:
                    await self._client.xgroup_delconsumer(stream, self._name, self._consumer)


def rejected(stream: str, group: str) -> str:
    """The stream of what was set aside: the event's own fields, the `entry` it was, and the `reason`."""
    return f"{stream}:rejected:{group}"


def _deliveries(stream: str, entries: Iterable[tuple[bytes | None, Fields | None]]) -> list[Delivery]:
    """Entries that were deleted meanwhile come without fields (Redis 6.2)."""
    return [Delivery(stream, entry, fields) for entry, fields in entries if entry is not None and fields is not None]


def _by_stream(deliveries: Iterable[Delivery]) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for delivery in deliveries:
        found[delivery.stream].append(delivery.entry)
    return found
