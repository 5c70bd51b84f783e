"""The routes of the admin API on developers, members, invitations and orchestrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response

from proxy.api.admin.endpoints import Admin, After, ClientId, Limit, OperationEndpoints, Support, Viewer
from proxy.api.admin.people_documents import (
    BlockList,
    DeveloperDocument,
    DeveloperPage,
    EndedInvite,
    EndedMember,
    FoundDeveloper,
    InviteCode,
    InviteList,
    MemberDocument,
    MemberList,
    NewDeveloper,
    NewInvite,
    NewMember,
    OrchestratorAddress,
    OrchestratorState,
    PortalLink,
)

DeveloperId = Annotated[str, Path(pattern="^dev_[a-z2-7]{16}$")]
InviteId = Annotated[str, Path(pattern="^[a-z2-7]{16}$")]


class DeveloperEndpoints(OperationEndpoints):
    """The routes below `/developers`."""

    async def add(self, operator: Admin, body: NewDeveloper, response: Response) -> FoundDeveloper:
        """Let the owner of a wallet sign in (201), or return the developer that has it already (200)."""
        found = await self.by(operator).developers.add(body)
        response.status_code = 201 if found.created else 200
        return found

    async def page(self, operator: Viewer, limit: Limit = 100, after: After = "") -> DeveloperPage:
        """Return developers by page."""
        return await self.by(operator).developers.page(after, limit)

    async def approve(self, developer_id: DeveloperId, operator: Admin) -> DeveloperDocument:
        """Let a developer sign in that has signed up and waits for it."""
        return await self.by(operator).developers.set_status(developer_id, "approve")

    async def suspend(self, developer_id: DeveloperId, operator: Support) -> DeveloperDocument:
        """Refuse a developer at once, and end its sessions and tokens for good."""
        return await self.by(operator).developers.set_status(developer_id, "suspend")

    async def resume(self, developer_id: DeveloperId, operator: Support) -> DeveloperDocument:
        """Let a suspended developer sign in again."""
        return await self.by(operator).developers.set_status(developer_id, "resume")

    async def portal_link(self, developer_id: DeveloperId, operator: Admin) -> PortalLink:
        """Create a link by which a developer signs in to the portal, once. It is in this response and nowhere else."""
        return await self.by(operator).developers.portal_link(developer_id)


class MemberEndpoints(OperationEndpoints):
    """The routes below `/apps/{client_id}/members`."""

    async def list(self, client_id: ClientId, operator: Viewer) -> MemberList:
        """Return the members of an app."""
        return await self.by(operator).members.list(client_id)

    async def put(
        self, client_id: ClientId, developer_id: DeveloperId, operator: Admin, body: NewMember
    ) -> MemberDocument:
        """Make a developer a member of an app, or change the role it has there."""
        return await self.by(operator).members.put(client_id, developer_id, body.role)

    async def remove(self, client_id: ClientId, developer_id: DeveloperId, operator: Admin) -> EndedMember:
        """End a membership at once."""
        return await self.by(operator).members.remove(client_id, developer_id)


class InviteEndpoints(OperationEndpoints):
    """The routes of invitations."""

    async def create(self, client_id: ClientId, operator: Admin, body: NewInvite) -> InviteCode:
        """Create an invitation. Its code is in this response and nowhere else."""
        return await self.by(operator).invites.create(client_id, body)

    async def list(self, operator: Viewer) -> InviteList:
        """Return the invitations that are open, of all apps."""
        return await self.by(operator).invites.list()

    async def revoke(self, invite_id: InviteId, operator: Support) -> EndedInvite:
        """End an invitation that nobody has used."""
        return await self.by(operator).invites.revoke(invite_id)


class OrchestratorEndpoints(OperationEndpoints):
    """The routes below `/orchestrators`."""

    async def block(self, operator: Admin, body: OrchestratorAddress) -> OrchestratorState:
        """Leave an orchestrator out of the lists of all tiers, from the next fetch of a gateway on."""
        return await self.by(operator).orchestrators.block(body)

    async def unblock(self, operator: Admin, body: OrchestratorAddress) -> OrchestratorState:
        """List an orchestrator again."""
        return await self.by(operator).orchestrators.unblock(body)

    async def list(self, operator: Viewer) -> BlockList:
        """Return the orchestrators that are blocked."""
        return await self.by(operator).orchestrators.list()
