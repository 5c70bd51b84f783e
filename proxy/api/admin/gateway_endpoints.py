"""The routes of the admin API on gateways."""

from __future__ import annotations

from proxy.api.admin.endpoints import Admin, OperationEndpoints, Viewer
from proxy.api.admin.gateway_documents import GatewayChange, GatewayChoice, GatewayList


class GatewayEndpoints(OperationEndpoints):
    """The routes below `/gateways`."""

    async def list(self, operator: Viewer) -> GatewayList:
        """Return the gateways, and which of them are drained."""
        return await self.by(operator).gateways.list()

    async def drain(self, operator: Admin, body: GatewayChoice) -> GatewayChange:
        """Give a gateway no new work, at once, until it is resumed. What it alone has still goes to it."""
        return await self.by(operator).gateways.drain(body.gateway)

    async def resume(self, operator: Admin, body: GatewayChoice) -> GatewayChange:
        """Give a drained gateway new work again."""
        return await self.by(operator).gateways.resume(body.gateway)
