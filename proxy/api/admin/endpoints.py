"""The routes of the admin API on apps, keys, users and operators; each translates, and an operation does the work."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from middlewares.auth.records import Role
from proxy.api.admin.documents import (
    AppChange,
    AppDocument,
    AppIdentityProvider,
    AppPage,
    AppSecret,
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
from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.direct import DirectOperations
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.operator import Operator, OperatorWith
from proxy.api.admin.people_documents import OperatorLink
from proxy.api.keys.models import ChangedKey
from proxy.api.keys.rotation import KeyRotation
from proxy.api.models import NewUser
from proxy.control.audit.log import AuditLog

Viewer = Annotated[Operator, Depends(OperatorWith(Role.VIEWER))]
Support = Annotated[Operator, Depends(OperatorWith(Role.SUPPORT))]
Admin = Annotated[Operator, Depends(OperatorWith(Role.ADMIN))]

_ID = "[a-z2-7]{16}"
ClientId = Annotated[str, Path(pattern=f"^app_{_ID}$")]
KeyId = Annotated[str, Path(pattern=f"^{_ID}$")]
OperatorId = Annotated[str, Path(pattern=f"^{_ID}$")]
UserName = Annotated[str, Path(max_length=255, description="User id or external id.")]
Limit = Annotated[int, Query(ge=1, le=1_000)]
After = Annotated[str, Query(max_length=128, description="`next` of the page before.")]


class OperationEndpoints:
    """What all routes have: the operations, on behalf of the calling operator."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def by(self, operator: Operator) -> DirectOperations:
        """Return the operations as this operator does them."""
        return DirectOperations(self._resources, Acts(AuditLog(self._resources.store.redis), operator.actor))


class AppEndpoints(OperationEndpoints):
    """The routes below `/apps`."""

    async def create(self, operator: Admin, body: NewApp) -> AppSecret:
        """Create an app. Its client secret is in this response and nowhere else."""
        return await self.by(operator).apps.create(body)

    async def page(self, operator: Viewer, limit: Limit = 100, after: After = "") -> AppPage:
        """Return apps by page."""
        return await self.by(operator).apps.page(after, limit)

    async def get(self, client_id: ClientId, operator: Viewer) -> AppDocument:
        """Return an app."""
        return await self.by(operator).apps.get(client_id)

    async def change(self, client_id: ClientId, operator: Admin, body: AppChange) -> AppDocument:
        """Change plan or tier of an app, at once."""
        return await self.by(operator).apps.change(client_id, body)

    async def suspend(self, client_id: ClientId, operator: Support) -> AppDocument:
        """Refuse all requests of an app, at once, until it is resumed."""
        return await self.by(operator).apps.set_status(client_id, "suspended")

    async def resume(self, client_id: ClientId, operator: Support) -> AppDocument:
        """Accept requests of a suspended app again."""
        return await self.by(operator).apps.set_status(client_id, "active")

    async def rotate_secret(self, client_id: ClientId, operator: Admin) -> AppSecret:
        """Replace the client secret of an app, at once."""
        return await self.by(operator).apps.rotate_secret(client_id)

    async def set_issuer(self, client_id: ClientId, operator: Admin, body: AppIdentityProvider) -> AppDocument:
        """Register the identity provider whose JWTs an app exchanges for tokens of its users."""
        return await self.by(operator).apps.set_issuer(client_id, body)

    async def remove_issuer(self, client_id: ClientId, operator: Admin) -> AppDocument:
        """Exchange no JWTs for an app any more."""
        return await self.by(operator).apps.set_issuer(client_id, None)


class AnyKeyEndpoints(OperationEndpoints):
    """The routes of API keys."""

    async def create(self, client_id: ClientId, operator: Admin, body: NewAppKey) -> KeyText:
        """Create a key. Its text is in this response and nowhere else."""
        return await self.by(operator).keys.create(client_id, body)

    async def page(self, client_id: ClientId, operator: Viewer, limit: Limit = 100, after: After = "") -> KeyList:
        """Return the keys of an app and its users by page."""
        return await self.by(operator).keys.page(client_id, after, limit)

    async def get(self, key_id: KeyId, operator: Viewer) -> KeyDocument:
        """Return a key: what it may do, how much, and when it was last used."""
        return await self.by(operator).keys.get(key_id)

    async def change(self, key_id: KeyId, operator: Admin, body: ChangedKey) -> KeyDocument:
        """Change what is named of a key, at once. Limits also change for the keys before it that still work."""
        return await self.by(operator).keys.change(key_id, body)

    async def rotate(self, key_id: KeyId, operator: Admin, body: KeyRotation | None = None) -> RotatedKey:
        """Replace a key by a new one with the same permissions, and end the old one after an overlap."""
        return await self.by(operator).keys.rotate(key_id, body or KeyRotation())

    async def revoke(self, key_id: KeyId, operator: Support) -> KeyDocument:
        """End a key for good, at once."""
        return await self.by(operator).keys.revoke(key_id)


class EndUserEndpoints(OperationEndpoints):
    """The routes below `/apps/{client_id}/users`."""

    async def create(self, client_id: ClientId, operator: Admin, body: NewUser, response: Response) -> FoundUser:
        """Create a user (201), or return the one of that external id (200)."""
        found = await self.by(operator).users.create(client_id, body)
        response.status_code = 201 if found.created else 200
        return found

    async def page(self, client_id: ClientId, operator: Viewer, limit: Limit = 100, after: After = "") -> UserList:
        """Return users of an app by page."""
        return await self.by(operator).users.page(client_id, after, limit)

    async def get(self, client_id: ClientId, user: UserName, operator: Viewer) -> UserDocument:
        """Return a user."""
        return await self.by(operator).users.get(client_id, user)

    async def set_status(
        self, client_id: ClientId, user: UserName, operator: Support, body: StatusChange
    ) -> UserDocument:
        """Suspend a user, let it work again, or deactivate it, which also ends its keys for good."""
        return await self.by(operator).users.set_status(client_id, user, body.status)


class OperatorEndpoints(OperationEndpoints):
    """The routes below `/operators`."""

    async def create(self, operator: Admin, body: NewOperator) -> OperatorKey:
        """Create an operator. Its key is in this response and nowhere else."""
        return await self.by(operator).operators.create(body.name, body.role)

    async def list(self, operator: Admin) -> OperatorList:
        """Return all operators."""
        return await self.by(operator).operators.list()

    async def revoke(self, operator_id: OperatorId, operator: Admin) -> OperatorDocument:
        """End the key of an operator, and its sessions in the portal, at once."""
        return await self.by(operator).operators.revoke(operator_id)

    async def portal_link(self, operator_id: OperatorId, operator: Admin) -> OperatorLink:
        """Create a link by which an operator signs in to the portal, once. It is in this response and nowhere else."""
        return await self.by(operator).operators.portal_link(operator_id)
