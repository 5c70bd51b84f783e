"""The live block list of orchestrators: a set in Redis, read with every list that a gateway fetches."""

from __future__ import annotations

from typing import Any

from proxy.control.records import Client

BLOCKED = "tollgate:blocked-orchestrators"
"""Set of addresses, spelled as by `config.webhooks.orchestrator_address`."""


class BlockedOrchestrators:
    """Adds, removes and lists. Everything raises `redis.RedisError` or `OSError` when Redis fails."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def block(self, address: str) -> bool:
        """Leave this address out of all lists; return False if it was left out already."""
        return bool(await self._redis.sadd(BLOCKED, address))

    async def unblock(self, address: str) -> bool:
        """List this address again; return False if it was not blocked."""
        return bool(await self._redis.srem(BLOCKED, address))

    async def addresses(self) -> frozenset[str]:
        """Return the addresses that are blocked."""
        members: Any = await self._redis.smembers(BLOCKED)
        return frozenset(each.decode() for each in members)
