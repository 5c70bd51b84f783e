"""The operations by the routes of the admin API, one call each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote

from proxy.api.admin.documents import (
    AppChange,
    AppDocument,
    AppIdentityProvider,
    AppPage,
    AppSecret,
    AppStatus,
    FoundUser,
    KeyDocument,
    KeyList,
    KeyText,
    NewApp,
    NewAppKey,
    RotatedKey,
    StatusChange,
    UserDocument,
    UserList,
)
from proxy.api.admin.operations.ports import (
    AppOperations,
    KeyOperations,
    Operations,
    UserOperations,
)
from proxy.api.keys.models import ChangedKey
from proxy.api.keys.rotation import KeyRotation
from proxy.api.models import NewUser, UserStatus
from proxy.cli.remote.audit import RemoteAudit, RemoteSubjects
from proxy.cli.remote.client import AdminClient
from proxy.cli.remote.ledger import RemoteCredits, RemoteDeployment, RemoteEvents, RemoteReports
from proxy.cli.remote.people import (
    RemoteDevelopers,
    RemoteGateways,
    RemoteInvites,
    RemoteMembers,
    RemoteOperators,
    RemoteOrchestrators,
)
from proxy.cli.remote.webhooks import RemoteWebhooks

Result = TypeVar("Result")


async def through(work: Callable[[Operations], Awaitable[Result]], url: str, key: str) -> Result:
    """Do the work by the admin API at `url`. Raises `ActRefused` and `StoreError`."""
    client = AdminClient.at(url, key)
    try:
        return await work(RemoteOperations(client))
    finally:
        await client.close()


class RemoteApps(AppOperations):
    """Apps, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, new: NewApp) -> AppSecret:
        return await self._call("POST", "/apps", AppSecret, body=new)

    async def page(self, after: str, limit: int) -> AppPage:
        return await self._call("GET", "/apps", AppPage, params={"after": after, "limit": limit})

    async def get(self, client_id: str) -> AppDocument:
        return await self._call("GET", f"/apps/{client_id}", AppDocument)

    async def change(self, client_id: str, change: AppChange) -> AppDocument:
        return await self._call("PATCH", f"/apps/{client_id}", AppDocument, body=change)

    async def set_status(self, client_id: str, status: AppStatus) -> AppDocument:
        act = "suspend" if status == "suspended" else "resume"
        return await self._call("POST", f"/apps/{client_id}/{act}", AppDocument)

    async def rotate_secret(self, client_id: str) -> AppSecret:
        return await self._call("POST", f"/apps/{client_id}/secret", AppSecret)

    async def set_issuer(self, client_id: str, provider: AppIdentityProvider | None) -> AppDocument:
        method = "PUT" if provider else "DELETE"
        return await self._call(method, f"/apps/{client_id}/issuer", AppDocument, body=provider)


class RemoteKeys(KeyOperations):
    """API keys, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, client_id: str, new: NewAppKey) -> KeyText:
        return await self._call("POST", f"/apps/{client_id}/keys", KeyText, body=new)

    async def page(self, client_id: str, after: str, limit: int) -> KeyList:
        return await self._call("GET", f"/apps/{client_id}/keys", KeyList, params={"after": after, "limit": limit})

    async def get(self, key_id: str) -> KeyDocument:
        return await self._call("GET", f"/keys/{key_id}", KeyDocument)

    async def change(self, key_id: str, change: ChangedKey) -> KeyDocument:
        return await self._call("PATCH", f"/keys/{key_id}", KeyDocument, body=change)

    async def rotate(self, key_id: str, rotation: KeyRotation) -> RotatedKey:
        return await self._call("POST", f"/keys/{key_id}/rotate", RotatedKey, body=rotation)

    async def revoke(self, key_id: str) -> KeyDocument:
        return await self._call("DELETE", f"/keys/{key_id}", KeyDocument)


class RemoteUsers(UserOperations):
    """End users of apps, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, client_id: str, new: NewUser) -> FoundUser:
        return await self._call("POST", f"/apps/{client_id}/users", FoundUser, body=new)

    async def page(self, client_id: str, after: str, limit: int) -> UserList:
        return await self._call("GET", f"/apps/{client_id}/users", UserList, params={"after": after, "limit": limit})

    async def get(self, client_id: str, user: str) -> UserDocument:
        return await self._call("GET", f"/apps/{client_id}/users/{quote(user, safe='')}", UserDocument)

    async def set_status(self, client_id: str, user: str, status: UserStatus) -> UserDocument:
        path = f"/apps/{client_id}/users/{quote(user, safe='')}/status"
        return await self._call("PUT", path, UserDocument, body=StatusChange(status=status))


class RemoteOperations(Operations):
    """All operations, by one client."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    @property
    def apps(self) -> RemoteApps:
        return RemoteApps(self._client)

    @property
    def keys(self) -> RemoteKeys:
        return RemoteKeys(self._client)

    @property
    def users(self) -> RemoteUsers:
        return RemoteUsers(self._client)

    @property
    def operators(self) -> RemoteOperators:
        return RemoteOperators(self._client)

    @property
    def developers(self) -> RemoteDevelopers:
        return RemoteDevelopers(self._client)

    @property
    def members(self) -> RemoteMembers:
        return RemoteMembers(self._client)

    @property
    def invites(self) -> RemoteInvites:
        return RemoteInvites(self._client)

    @property
    def orchestrators(self) -> RemoteOrchestrators:
        return RemoteOrchestrators(self._client)

    @property
    def gateways(self) -> RemoteGateways:
        return RemoteGateways(self._client)

    @property
    def webhooks(self) -> RemoteWebhooks:
        return RemoteWebhooks(self._client)

    @property
    def audit(self) -> RemoteAudit:
        return RemoteAudit(self._client)

    @property
    def subjects(self) -> RemoteSubjects:
        return RemoteSubjects(self._client)

    @property
    def credits(self) -> RemoteCredits:
        return RemoteCredits(self._client)

    @property
    def events(self) -> RemoteEvents:
        return RemoteEvents(self._client)

    @property
    def reports(self) -> RemoteReports:
        return RemoteReports(self._client)

    @property
    def deployment(self) -> RemoteDeployment:
        return RemoteDeployment(self._client)
