"""Gateways that get no new work: a hash in Redis, whose changes every worker is told of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from middlewares.auth.records import RecordRef
from proxy.control.records import CHANGES, Client

DRAINED = "tollgate:drained-gateways"
"""Hash: origin of a gateway -> when it was drained, RFC 3339."""
NOTICE = RecordRef("gateway", "")
"""What is announced with each change; who hears it reads the hash anew."""


class DrainedGateways:
    """Drains, resumes and lists. Everything raises `redis.RedisError` or `OSError` when Redis fails."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def drain(self, url: str) -> bool:
        """Give this gateway no new work; return False if it gets none already."""
        changed: Any = await self._redis.hsetnx(DRAINED, url, datetime.now(UTC).isoformat(timespec="seconds"))
        await self._announce()
        return bool(changed)

    async def resume(self, url: str) -> bool:
        """Give this gateway new work again; return False if it was not drained."""
        changed: Any = await self._redis.hdel(DRAINED, url)
        await self._announce()
        return bool(changed)

    async def since(self) -> Mapping[str, datetime]:
        """Return when each of the gateways was drained, by their origins."""
        found: Any = await self._redis.hgetall(DRAINED)
        return {url.decode(): datetime.fromisoformat(time.decode()) for url, time in found.items()}

    async def _announce(self) -> None:
        """Tell every worker, also where nothing differs: repeating a command repeats a notice that may be lost."""
        await self._redis.publish(CHANGES, msgspec.json.encode(NOTICE))
