"""The gateway that a request belongs to, as tier routing reads it: two kinds of `middlewares.exchange.Affinity`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from zlib import crc32

from starlette.types import Message, Send

from middlewares.exchange import Exchange
from middlewares.store import StoreError
from middlewares.tenancy.affinity_table import AffinityTable, Resource


class ResourceLocation:
    """The gateway of a resource that exists there, and nowhere else."""

    __slots__ = ("_affinity_table", "gateway", "resource")
    movable = False

    def __init__(self, affinity_table: AffinityTable, resource: Resource, gateway: str) -> None:
        self._affinity_table = affinity_table
        self.resource = resource
        self.gateway = gateway

    async def reassign(self, gateways: Sequence[str]) -> str:
        """Return the gateway where it is by now, because another worker may have moved it; none of `gateways`."""
        with suppress(StoreError):
            found = await self._affinity_table.find([self.resource], fresh=True)
            self.gateway = found[1] if found else self.gateway
        return self.gateway


class StickyAssignment(ResourceLocation):
    """The gateway where a resource is created, or used again; if that one is lost, the resource moves to another."""

    __slots__ = ("_store_lost",)
    movable = True

    def __init__(
        self,
        affinity_table: AffinityTable,
        resource: Resource,
        found: ResourceLocation | None,
        *,
        store_lost: bool = False,
    ) -> None:
        super().__init__(affinity_table, resource, found.gateway if found else "")
        self._store_lost = store_lost

    async def reassign(self, gateways: Sequence[str]) -> str:
        """Return the first of `gateways`, unless another worker was faster; without Redis all choose by one hash."""
        if not self._store_lost:
            try:
                self.gateway = await self._affinity_table.claim(self.resource, gateways[0], replacing=self.gateway)
            except StoreError:
                self._store_lost = True
        if self._store_lost:
            self.gateway = max(gateways, key=lambda url: crc32(f"{self.resource.name} {url}".encode()))
        return self.gateway

    def reassign_on_failover(self, exchange: Exchange, send: Send) -> Send:
        """Return a `send` that assigns the gateway which really got the request, if the chosen one was unreachable."""

        async def send_after_assignment(message: Message) -> None:
            if message["type"] == "http.response.start" and exchange.gateway != self.gateway:
                await self.reassign([exchange.gateway])
            await send(message)

        return send_after_assignment
