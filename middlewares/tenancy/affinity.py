"""The gateway that a request belongs to, as tier routing asks for it (`middlewares.exchange.Affinity`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from zlib import crc32

from starlette.types import Message, Send

from middlewares.exchange import Exchange
from middlewares.store import StoreError
from middlewares.tenancy.affinity_table import AffinityTable, Resource


class ResourceLocation:
    """Something lives at a gateway, and nowhere else."""

    __slots__ = ("_affinity_table", "gateway", "resource")
    movable = False

    def __init__(self, affinity_table: AffinityTable, resource: Resource, gateway: str) -> None:
        self._affinity_table = affinity_table
        self.resource = resource
        self.gateway = gateway

    async def settle_on(self, gateways: Sequence[str]) -> str:
        """Where it is by now: another worker may have moved it."""
        with suppress(StoreError):
            found = await self._affinity_table.find([self.resource], fresh=True)
            self.gateway = found[1] if found else self.gateway
        return self.gateway


class StickyAssignment(ResourceLocation):
    """Something begins to live at a gateway, or goes on there; where that one is lost it begins anew at another."""

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

    async def settle_on(self, gateways: Sequence[str]) -> str:
        """The first of `gateways`, unless another worker was faster; without Redis all choose by the same hash."""
        if not self._store_lost:
            try:
                self.gateway = await self._affinity_table.claim(self.resource, gateways[0], replacing=self.gateway)
            except StoreError:
                self._store_lost = True
        if self._store_lost:
            self.gateway = max(gateways, key=lambda url: crc32(f"{self.resource.name} {url}".encode()))
        return self.gateway

    def following(self, exchange: Exchange, send: Send) -> Send:
        """`send` that notes where the request really went, if its gateway took no connection."""

        async def send_following(message: Message) -> None:
            if message["type"] == "http.response.start" and exchange.gateway != self.gateway:
                await self.settle_on([exchange.gateway])
            await send(message)

        return send_following
