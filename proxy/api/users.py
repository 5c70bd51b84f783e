"""The users of an app over HTTP: create, find, change, deactivate, and issue tokens for them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from middlewares.auth.records import UserRecord
from middlewares.exchange import Exchange, Refusal
from proxy.api.caller import Caller, CallerWith
from proxy.api.models import ExternalId, NewUser, UserChange, UserPage, UserToken, UserTokenRequest, UserView
from proxy.api.services import BuilderServices
from proxy.control.users import Users
from proxy.identity.token_issuer import USER_SCOPES, USERS_READ, USERS_TOKEN, USERS_WRITE, TokenSubject

Reader = Annotated[Caller, Depends(CallerWith(USERS_READ))]
Writer = Annotated[Caller, Depends(CallerWith(USERS_WRITE))]
TokenMinter = Annotated[Caller, Depends(CallerWith(USERS_TOKEN))]


class UserEndpoints:
    """The routes below `/api/v1/apps/{client_id}/users`. A user is named by its user id or its external id."""

    def __init__(self, services: BuilderServices) -> None:
        self._users = services.users
        self._issuer = services.issuer

    async def create(self, client_id: str, caller: Writer, body: NewUser, response: Response) -> UserView:
        """Create a user (201), or return the one of that external id (200), with its email and status updated."""
        user, created = await self._users.create(caller.app, body.name, email=body.email)
        response.status_code = 201 if created else 200
        return UserView.of(await self._updated(user, body))

    async def list(
        self,
        client_id: str,
        caller: Reader,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        after: Annotated[str, Query(max_length=128, description="User id; the page begins behind it.")] = "",
    ) -> UserPage:
        """Return users by page."""
        users, following = await self._users.page(caller.app, after, limit)
        return UserPage(users=[UserView.of(user) for user in users], next=following)

    async def get(self, client_id: str, user: str, caller: Reader) -> UserView:
        """Return a user."""
        return UserView.of(await require_user(self._users, caller.app, user))

    async def change(self, client_id: str, user: str, caller: Writer, body: UserChange) -> UserView:
        """Change the email of a user, suspend it, or let it work again."""
        return UserView.of(await self._updated(await require_user(self._users, caller.app, user), body))

    async def deactivate(self, client_id: str, user: str, caller: Writer) -> UserView:
        """Deactivate a user: its keys and tokens are refused at once, its usage stays."""
        found = await require_user(self._users, caller.app, user)
        return UserView.of(await self._users.change(found, status="suspended"))

    async def deactivate_named(
        self,
        client_id: str,
        caller: Writer,
        externalUserId: Annotated[ExternalId, Query()],  # noqa: N803
    ) -> UserView:
        """Deactivate the user of that external id."""
        return await self.deactivate(client_id, externalUserId, caller)

    async def token(
        self, client_id: str, user: str, caller: TokenMinter, request: Request, body: UserTokenRequest | None = None
    ) -> UserToken:
        """Issue a token for a user.

        A user that the app does not have is 403 `user_not_provisioned` for a Bearer token, and 404 for Basic.
        """
        scopes = frozenset((body or UserTokenRequest()).scope.split())
        if not scopes or not scopes <= USER_SCOPES:
            raise Refusal(400, "invalid_scope", f"The scope may name {' and '.join(sorted(USER_SCOPES))}.")
        found = await self._users.resolve(caller.app, user)
        if found is None and caller.basic:
            raise unknown_user()
        if found is None:
            raise Refusal(403, "user_not_provisioned", "The app has no such user; create it first.")
        check_active(found)
        subject = TokenSubject(caller.app, found.user_id, external_id=found.external_id)
        token = self._issuer.issue(subject, scopes)
        exchange: Exchange = request.scope["tollgate.exchange"]
        return UserToken(
            access_token=token.text,
            expires_in=token.expires_in,
            scope=token.scope,
            correlation_id=exchange.request_id,
        )

    async def _updated(self, user: UserRecord, wanted: UserChange) -> UserRecord:
        email = wanted.email if wanted.email != user.email else None
        status = wanted.record_status if wanted.record_status != user.status else None
        return user if email is None and status is None else await self._users.change(user, email=email, status=status)


async def require_user(users: Users, app: str, name: str) -> UserRecord:
    """Return the user of that user id or external id. Raises `Refusal` (404)."""
    found = await users.resolve(app, name)
    if found is None:
        raise unknown_user()
    return found


def check_active(user: UserRecord) -> None:
    """Raise `Refusal` for a user that gets no credentials."""
    if user.status != "active":
        raise Refusal(403, "user_suspended", "The user is suspended; make it active first.")


def unknown_user() -> Refusal:
    """Return the refusal for a user that the app does not have."""
    return Refusal(404, "unknown_id", "The app has no such user.")
