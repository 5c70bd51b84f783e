"""Watches how full Redis is: a full one refuses writes (`noeviction`), and so everything that costs money."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Gauge
from redis.asyncio import Redis, RedisCluster

from config.runtime import StoreSettings
from proxy.store.clients import CLIENT_ERRORS

POLL_SECONDS = 10.0
RELEASE = 0.05
"""How far below a mark memory has to fall before it counts as left, so that no line is written twice in a moment."""
EMBEDDED_SHARE = 0.75
"""Part of the machine's memory that an embedded Redis may take; its forks need some of the rest."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_DO = "give Redis more memory, or shorten what it keeps (deploy/README.md, Memory of Redis), before it refuses writes"

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.store")


class MemoryLevel(StrEnum):
    """How full a Redis node is."""

    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """Memory of one node, in bytes."""

    used: int
    maxmemory: int
    """0: there is no bound but the machine's."""
    system: int

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> NodeMemory:
        """Return what `INFO memory` says."""
        return cls(info["used_memory"], info["maxmemory"], info.get("total_system_memory", 0))

    @property
    def limit(self) -> int:
        """Bytes that it may use."""
        return self.maxmemory or self.system

    @property
    def ratio(self) -> float:
        """Used part of the limit; 0 where no limit is known."""
        return self.used / self.limit if self.limit else 0.0


def level_of(ratio: float, before: MemoryLevel, high: float, critical: float) -> MemoryLevel:
    """Return the level of a node: a mark is crossed when it is reached, and left `RELEASE` below it."""
    if ratio >= critical - (RELEASE if before is MemoryLevel.CRITICAL else 0):
        return MemoryLevel.CRITICAL
    if ratio >= high - (RELEASE if before is not MemoryLevel.NORMAL else 0):
        return MemoryLevel.HIGH
    return MemoryLevel.NORMAL


class RedisMemoryWatch:
    """Shows the fullest node as a metric, and writes one log line for each mark that a node crosses."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        settings: StoreSettings,
        gauge: Gauge,
        *,
        embedded: bool,
    ) -> None:
        """`gauge` shows the used part, from 0 to 1.

        `embedded` is True if the Redis is Tollgate's own, whose `maxmemory` is then set here.
        """
        self._client: Any = client
        self._cluster = isinstance(client, RedisCluster)
        self._settings = settings
        self._embedded = embedded
        self._levels: dict[str, MemoryLevel] = {}
        self._ratio = gauge

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(*CLIENT_ERRORS):  # the breaker has logged it
                await self.look()
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Look at every node once. Raises the errors of redis-py."""
        if self._cluster:
            infos = await self._client.info("memory", target_nodes=RedisCluster.PRIMARIES)
            nodes = {name: NodeMemory.of(info) for name, info in infos.items()}
        else:
            nodes = {"redis": NodeMemory.of(await self._client.info("memory"))}
        if self._embedded:
            nodes = {name: await self._bounded(memory) for name, memory in nodes.items()}
        self._ratio.set(max((memory.ratio for memory in nodes.values()), default=0))
        for name, memory in nodes.items():
            self._judge(name, memory)

    async def _bounded(self, memory: NodeMemory) -> NodeMemory:
        """Set the bound of an embedded Redis, which has none after each of its starts."""
        bound = self._settings.embedded_memory_bytes or int(EMBEDDED_SHARE * _machine(memory.system))
        if bound != memory.maxmemory and bound:
            await self._client.config_set("maxmemory", bound)
        return NodeMemory(memory.used, bound, memory.system)

    def _judge(self, name: str, memory: NodeMemory) -> None:
        before = self._levels.get(name, MemoryLevel.NORMAL)
        marks = self._settings.memory_high_ratio, self._settings.memory_critical_ratio
        level = self._levels[name] = level_of(memory.ratio, before, *marks)
        if level is before:
            return
        facts: dict[str, Any] = {"node": name, "used_bytes": memory.used, "limit_bytes": memory.limit}
        facts["ratio"] = round(memory.ratio, 3)
        if level is MemoryLevel.CRITICAL:
            log.error("redis_memory_critical", **facts, do=_DO)
        elif level is MemoryLevel.HIGH and before is MemoryLevel.NORMAL:
            log.warning("redis_memory_high", **facts, do=_DO)
        else:
            log.info("redis_memory_recovered", **facts, level=level.value)


def _machine(system: int) -> int:
    """Return the memory of this machine, or of the container that Tollgate and its Redis are in, if that is less."""
    try:
        return min(system, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no such bound, or `max`
        return system
