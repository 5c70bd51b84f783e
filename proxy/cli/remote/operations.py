"""The operations by the routes of the admin API, one call each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote

from middlewares.auth.records import Role
from proxy.api.admin.documents import (
    AppChange,
    AppDocument,
    AppPage,
    AppSecret,
    AppStatus,
    FoundUser,
    KeyDocument,
    KeyList,
    KeyText,
    NewApp,
    NewAppKey,
    NewOperator,
    OperatorDocument,
    OperatorKey,
    OperatorList,
    RotatedKey,
    StatusChange,
    UserDocument,
    UserList,
)
from proxy.api.admin.operations.ports import (
    AppOperations,
    KeyOperations,
    Operations,
    OperatorOperations,
    UserOperations,
)
from proxy.api.keys.rotation import KeyRotation
from proxy.api.models import NewUser, UserStatus
from proxy.cli.remote.client import AdminClient
from proxy.cli.remote.ledger import RemoteCredits, RemoteDeployment, RemoteEvents, RemoteReports

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


class RemoteKeys(KeyOperations):
    """API keys, by the admin API."""

    def __init__(self, client: AdminClient) -> None:
        self._call = client.call

    async def create(self, client_id: str, new: NewAppKey) -> KeyText:
        return await self._call("POST", f"/apps/{client_id}/keys", KeyText, body=new)

    async def page(self, client_id: str, after: str, limit: int) -> KeyList:
        return await self._call("GET", f"/apps/{client_id}/keys", KeyList, params={"after": after, "limit": limit})

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
