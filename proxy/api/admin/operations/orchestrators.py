"""Operations on the live block list of orchestrators, and on the gateways that get no new work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from proxy.api.admin.gateway_documents import GatewayChange, GatewayDocument, GatewayList
from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import ActRefused
from proxy.api.admin.operations.ports import GatewayOperations, OrchestratorOperations
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.people_documents import BlockList, OrchestratorAddress, OrchestratorState
from proxy.control.blocked_orchestrators import BlockedOrchestrators
from proxy.control.drained_gateways import DrainedGateways


class DirectOrchestrators(OrchestratorOperations):
    """The block list, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._blocked = BlockedOrchestrators(resources.store.redis)
        self._acts = acts

    async def block(self, orchestrator: OrchestratorAddress) -> OrchestratorState:
        """Leave an orchestrator out of the lists of all tiers, from the next fetch of a gateway on."""
        async with self._acts.act("orchestrator.block", "orchestrator") as act:
            act.detail |= {"orchestrator": orchestrator.address}
            changed = await self._blocked.block(orchestrator.address)
        return OrchestratorState(address=orchestrator.address, blocked=True, changed=changed)

    async def unblock(self, orchestrator: OrchestratorAddress) -> OrchestratorState:
        """List an orchestrator again."""
        async with self._acts.act("orchestrator.unblock", "orchestrator") as act:
            act.detail |= {"orchestrator": orchestrator.address}
            changed = await self._blocked.unblock(orchestrator.address)
        return OrchestratorState(address=orchestrator.address, blocked=False, changed=changed)

    async def list(self) -> BlockList:
        """Return the addresses that are blocked, in order."""
        return BlockList(items=sorted(await self._blocked.addresses()))


class DirectGateways(GatewayOperations):
    """Gateways, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._pools = resources.settings.pools()
        self._drained = DrainedGateways(resources.store.redis)
        self._acts = acts

    async def list(self) -> GatewayList:
        """Return the gateways of the configuration, and others that are drained still."""
        since = await self._drained.since()
        configured = {gateway.url for pool in self._pools.values() for gateway in pool.gateways}
        return GatewayList(items=[self._document(each, since) for each in sorted(configured | since.keys())])

    async def drain(self, gateway: str) -> GatewayChange:
        """Give a gateway no new work, in every worker at once, until it is resumed."""
        async with self._acts.act("gateway.drain", "gateway") as act:
            if not self._pools_of(gateway):
                raise _unknown()
            settle_target(act, gateway)
            return await self._change(gateway, changed=await self._drained.drain(gateway))

    async def resume(self, gateway: str) -> GatewayChange:
        """Give a gateway new work again; one that is not configured any more is only forgotten."""
        async with self._acts.act("gateway.resume", "gateway") as act:
            if not self._pools_of(gateway) and gateway not in await self._drained.since():
                raise _unknown()
            settle_target(act, gateway)
            return await self._change(gateway, changed=await self._drained.resume(gateway))

    async def _change(self, gateway: str, *, changed: bool) -> GatewayChange:
        found = self._document(gateway, await self._drained.since())
        return GatewayChange(**found.model_dump(), changed=changed)

    def _document(self, gateway: str, since: Mapping[str, datetime]) -> GatewayDocument:
        drained = since.get(gateway)
        return GatewayDocument(
            gateway=gateway, pools=list(self._pools_of(gateway)), drained=drained is not None, drained_since=drained
        )

    def _pools_of(self, gateway: str) -> Sequence[str]:
        return [name for name, pool in self._pools.items() if gateway in {each.url for each in pool.gateways}]


def _unknown() -> ActRefused:
    return ActRefused("unknown_id", "the configuration has no such gateway; `tollgate gateways list` shows them", 404)
