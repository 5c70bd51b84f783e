"""The users of an app over HTTP: create, find, change, deactivate, and issue tokens for them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from middlewares.auth.records import UserRecord
from middlewares.exchange import Exchange, Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.models import ExternalId, NewUser, UserChange, UserPage, UserToken, UserTokenRequest, UserView
from proxy.api.services import BuilderServices
from proxy.control.audit.line import AuditTarget
from proxy.control.audit.log import Act
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

    async def create(
        self, client_id: str, caller: Writer, body: NewUser, act: CurrentAct, response: Response
    ) -> UserView:
        """Create a user (201), or return the one of that external id (200), with its email and status updated."""
        user, created = await self._users.create(caller.app, body.name, email=body.email)
        act.target = target_of(user)
        act.detail["created"] = created
        response.status_code = 201 if created else 200
        return UserView.of(await self._updated(user, body, act))

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

    async def change(self, client_id: str, user: str, caller: Writer, body: UserChange, act: CurrentAct) -> UserView:
        """Change the email of a user, suspend it, or let it work again."""
        return UserView.of(await self._updated(await require_user(self._users, caller.app, user, act), body, act))

    async def deactivate(self, client_id: str, user: str, caller: Writer, act: CurrentAct) -> UserView:
        """Deactivate a user: its keys and tokens are refused at once, its usage stays."""
        found = await require_user(self._users, caller.app, user, act)
        return UserView.of(await self._users.change(found, status="suspended"))

    async def deactivate_named(
        self,
        client_id: str,
        caller: Writer,
        act: CurrentAct,
        externalUserId: Annotated[ExternalId, Query()],  # noqa: N803
    ) -> UserView:
        """Deactivate the user of that external id."""
        return await self.deactivate(client_id, externalUserId, caller, act)

    async def token(
        self,
        *,
        client_id: str,
        user: str,
        caller: TokenMinter,
        act: CurrentAct,
        request: Request,
        body: UserTokenRequest | None = None,
    ) -> UserToken:
        """Issue a token for a user.

        A user that the app does not have is 403 `user_not_provisioned` for a Bearer token, and 404 for Basic.
        """
        scopes = frozenset((body or UserTokenRequest()).scope.split())
        if not scopes or not scopes <= USER_SCOPES:
            raise Refusal(400, "invalid_scope", f"The scope may name {' and '.join(sorted(USER_SCOPES))}.")
        found = await self._users.resolve(caller.app, user)
        name_target(act, found, user)
        if found is None and caller.basic:
            raise unknown_user()
        if found is None:
            raise Refusal(403, "user_not_provisioned", "The app has no such user; create it first.")
        check_active(found)
        subject = TokenSubject(caller.app, found.user_id, external_id=found.external_id)
        token = self._issuer.issue(subject, scopes)
        act.detail["scope"] = token.scope
        exchange: Exchange = request.scope["tollgate.exchange"]
        return UserToken(
            access_token=token.text,
            expires_in=token.expires_in,
            scope=token.scope,
            correlation_id=exchange.request_id,
        )

    async def _updated(self, user: UserRecord, wanted: UserChange, act: Act) -> UserRecord:
        email = wanted.email if wanted.email != user.email else None
        status = wanted.record_status if wanted.record_status != user.status else None
        act.detail |= {"status": status, "email_changed": email is not None}
        return user if email is None and status is None else await self._users.change(user, email=email, status=status)


async def require_user(users: Users, app: str, name: str, act: Act | None = None) -> UserRecord:
    """Return the user of that user id or external id, whom `act` is about. Raises `Refusal` (404)."""
    found = await users.resolve(app, name)
    if act is not None:
        name_target(act, found, name)
    if found is None:
        raise unknown_user()
    return found


def target_of(user: UserRecord) -> AuditTarget:
    """Return a user as the audit log names it."""
    return AuditTarget("user", user.user_id, user.app)


def name_target(act: Act, user: UserRecord | None, name: str) -> None:
    """Say whom an act is about: the user, or the name for which there is none."""
    if user is not None:
        act.target = target_of(user)
    else:
        act.detail["requested"] = unknown_name(name)


def unknown_name(name: str) -> str:
    """Return what the audit log says of a name that nothing has: it may be anybody's secret."""
    return f"[{len(name)} characters]"


def check_active(user: UserRecord) -> None:
    """Raise `Refusal` for a user that gets no credentials."""
    if user.status != "active":
        raise Refusal(403, "user_suspended", "The user is suspended; make it active first.")


def unknown_user() -> Refusal:
    """Return the refusal for a user that the app does not have."""
    return Refusal(404, "unknown_id", "The app has no such user.")
