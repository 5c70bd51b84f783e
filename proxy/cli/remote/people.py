"""The operations on people, orchestrators and gateways, by the routes of the admin API."""

from __future__ import annotations

from middlewares.auth.records import Role
from proxy.api.admin.documents import NewOperator, OperatorDocument, OperatorKey, OperatorList
from proxy.api.admin.gateway_documents import GatewayChange, GatewayChoice, GatewayList
from proxy.api.admin.operations.ports import (
    DeveloperAct,
    DeveloperOperations,
    GatewayOperations,
    InviteOperations,
    MemberOperations,
    OperatorOperations,
    OrchestratorOperations,
)
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
    OperatorLink,
    OrchestratorAddress,
    OrchestratorState,
    PortalLink,
)
from proxy.cli.remote.client import AdminClient
from proxy.control.developers.records import MemberRole


class RemoteOperators(OperatorOperations):
    """Operators, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, name: str, role: Role) -> OperatorKey:
        return await self._call("POST", "/operators", OperatorKey, body=NewOperator(name=name, role=role))

    async def list(self) -> OperatorList:
        return await self._call("GET", "/operators", OperatorList)

    async def revoke(self, operator_id: str) -> OperatorDocument:
        return await self._call("DELETE", f"/operators/{operator_id}", OperatorDocument)

    async def portal_link(self, operator_id: str) -> OperatorLink:
        return await self._call("POST", f"/operators/{operator_id}/portal-link", OperatorLink)


class RemoteDevelopers(DeveloperOperations):
    """Developers, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def add(self, new: NewDeveloper) -> FoundDeveloper:
        return await self._call("POST", "/developers", FoundDeveloper, body=new)

    async def page(self, after: str, limit: int) -> DeveloperPage:
        return await self._call("GET", "/developers", DeveloperPage, params={"after": after, "limit": limit})

    async def set_status(self, developer_id: str, act: DeveloperAct) -> DeveloperDocument:
        return await self._call("POST", f"/developers/{developer_id}/{act}", DeveloperDocument)

    async def portal_link(self, developer_id: str) -> PortalLink:
        return await self._call("POST", f"/developers/{developer_id}/portal-link", PortalLink)


class RemoteMembers(MemberOperations):
    """Members of apps, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def put(self, client_id: str, developer_id: str, role: MemberRole) -> MemberDocument:
        path = f"/apps/{client_id}/members/{developer_id}"
        return await self._call("PUT", path, MemberDocument, body=NewMember(role=role))

    async def list(self, client_id: str) -> MemberList:
        return await self._call("GET", f"/apps/{client_id}/members", MemberList)

    async def remove(self, client_id: str, developer_id: str) -> EndedMember:
        return await self._call("DELETE", f"/apps/{client_id}/members/{developer_id}", EndedMember)


class RemoteInvites(InviteOperations):
    """Invitations, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, client_id: str, new: NewInvite) -> InviteCode:
        return await self._call("POST", f"/apps/{client_id}/invites", InviteCode, body=new)

    async def list(self) -> InviteList:
        return await self._call("GET", "/invites", InviteList)

    async def revoke(self, invite_id: str) -> EndedInvite:
        return await self._call("DELETE", f"/invites/{invite_id}", EndedInvite)


class RemoteOrchestrators(OrchestratorOperations):
    """The block list of orchestrators, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def block(self, orchestrator: OrchestratorAddress) -> OrchestratorState:
        return await self._call("POST", "/orchestrators/block", OrchestratorState, body=orchestrator)

    async def unblock(self, orchestrator: OrchestratorAddress) -> OrchestratorState:
        return await self._call("POST", "/orchestrators/unblock", OrchestratorState, body=orchestrator)

    async def list(self) -> BlockList:
        return await self._call("GET", "/orchestrators", BlockList)


class RemoteGateways(GatewayOperations):
    """Gateways, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def list(self) -> GatewayList:
        return await self._call("GET", "/gateways", GatewayList)

    async def drain(self, gateway: str) -> GatewayChange:
        return await self._call("POST", "/gateways/drain", GatewayChange, body=GatewayChoice(gateway=gateway))

    async def resume(self, gateway: str) -> GatewayChange:
        return await self._call("POST", "/gateways/resume", GatewayChange, body=GatewayChoice(gateway=gateway))
