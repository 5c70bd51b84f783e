"""Keeps events in Redis while a backup is taken, and sees whether that has worked.

An event moves from Redis to the history, so the history is copied first: what it does not have yet is in Redis then,
unless it was trimmed in between. Nothing is trimmed that a consumer group has not read, so a backup is one for a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from ulid import ULID

from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.audit.log import STREAM as AUDIT_STREAM

PREFIX = "tollgate-backup-"
"""How the groups of backups begin; one that is left over was of a backup that was killed."""


def moving(keys: RedisKeys) -> list[str]:
    """Return the streams whose entries move to the history: those of usage events, and the audit log."""
    return [*(keys.shared(tag).events for tag in keys.tags), AUDIT_STREAM]


@asynccontextmanager
async def pinned(redis: Redis, streams: Sequence[str]) -> AsyncIterator[None]:
    """Keep all entries of the streams for the time of the context."""
    await unpin(redis, streams)
    name = f"{PREFIX}{ULID()}"  # a new one each time: the history knows for how long a name has not moved
    try:
        for stream in streams:
            await redis.xgroup_create(stream, name, "0", mkstream=True)
        yield
    finally:
        with suppress(RedisError, OSError):
            await unpin(redis, streams)


async def unpin(redis: Redis, streams: Sequence[str]) -> None:
    """Remove the groups of all backups."""
    for stream in streams:
        try:
            groups: Any = await redis.xinfo_groups(stream)
        except ResponseError:  # there is no such stream
            continue
        for group in groups:
            name = group["name"].decode()
            if name.startswith(PREFIX):
                await redis.xgroup_destroy(stream, name)


async def beginnings(redis: Redis, streams: Sequence[str]) -> list[bytes | None]:
    """Return the id of the first entry of each stream, None where there is none."""
    found: list[bytes | None] = []
    for stream in streams:
        entries: Any = await redis.xrange(stream, count=1)
        found.append(entries[0][0] if entries else None)
    return found


def was_trimmed(before: Sequence[bytes | None], after: Sequence[bytes | None]) -> bool:
    """Return True if a stream has lost entries between two looks at its beginning."""
    return any(one is not None and one != other for one, other in zip(before, after, strict=True))
