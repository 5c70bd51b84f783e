"""Lists of orchestrators by tier, less those that are blocked (`-orchWebhookUrl`, `CONTRACT.md` section 5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from redis.exceptions import RedisClusterException, RedisError

from config.webhooks import Orchestrator, OrchestratorList
from middlewares.exchange import Refusal
from proxy.control.blocked_orchestrators import BlockedOrchestrators
from proxy.webhooks.metrics import LiveMetrics
from proxy.webhooks.orchestrator_sources import ListSource, source_of

BLOCK_LIST_SECONDS = 1.0
"""Longest wait for the block list; a gateway waits three seconds for the whole response."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("tollgate.orchestrators")


class OrchestratorLists:
    """The lists of all tiers, between `start` and `stop`."""

    def __init__(
        self, lists: Mapping[str, OrchestratorList], blocked: BlockedOrchestrators, metrics: LiveMetrics
    ) -> None:
        self._blocked = blocked
        self._last_blocked: frozenset[str] | None = None
        self._sources: dict[str, tuple[ListSource, int]] = {
            tier: (source_of(settings, metrics.list_failures.labels(tier).inc, tier), settings.top)
            for tier, settings in lists.items()
        }

    def start(self) -> None:
        """Begin to fetch the lists that come from elsewhere."""
        for source, _ in self._sources.values():
            source.start()

    async def stop(self) -> None:
        for source, _ in self._sources.values():
            await source.stop()

    async def of_tier(self, tier: str) -> list[dict[str, Any]]:
        """Return the list of a tier in the form of gateways. Raises `Refusal`: a gateway keeps its list on any error.

        An empty list is one: everything in it is blocked.
        """
        if tier not in self._sources:
            raise Refusal(404, "not_found", f"No list is configured for tier {tier!r}: see `webhooks.discovery.tiers`.")
        source, top = self._sources[tier]
        listed = await source.orchestrators()
        if listed is None:
            raise Refusal(503, "no_orchestrator_list", "The list of this tier has not been read yet; the log says why.")
        return _documents(listed, await self._blocked_now(), top)

    async def _blocked_now(self) -> frozenset[str]:
        """Return what is blocked, as it was last read while Redis is away. Raises `Refusal` if it never was."""
        try:
            async with asyncio.timeout(BLOCK_LIST_SECONDS):
                self._last_blocked = await self._blocked.addresses()
        except (RedisError, RedisClusterException, OSError) as error:  # a timeout is an OSError, too
            if self._last_blocked is None:
                raise Refusal(503, "store_unavailable", "The block list cannot be read right now.") from None
            log.warning("block_list_stale", error=str(error) or type(error).__name__)
        return self._last_blocked


def _documents(listed: Iterable[Orchestrator], blocked: frozenset[str], top: int) -> list[dict[str, Any]]:
    allowed = [each for each in listed if each.address not in blocked][:top]
    return [{"address": each.address, "score": each.score} for each in allowed]
