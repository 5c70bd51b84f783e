"""Operations on the live block list of orchestrators."""

from __future__ import annotations

from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.ports import OrchestratorOperations
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.people_documents import BlockList, OrchestratorAddress, OrchestratorState
from proxy.control.blocked_orchestrators import BlockedOrchestrators


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
