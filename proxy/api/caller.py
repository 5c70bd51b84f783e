"""Who calls the builder API, and with which scope: one dependency that every one of its routes has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fastapi import Request, Response

from middlewares.auth.middleware import check_address, check_origin, presented, refusal_of
from middlewares.auth.ports import CredentialCache
from middlewares.auth.verdict import WORK_SCOPES, Denial
from middlewares.exchange import Exchange, Refusal
from proxy.control.audit.line import Actor, ActorKind
from proxy.control.audit.log import Act
from proxy.identity.client_authentication import ClientAuthentication, basic_credentials
from proxy.identity.developer_credentials import DeveloperCredentials, SignedInDeveloper
from proxy.identity.token_issuer import CONTROL_SCOPES, covered

DEVELOPER = "developer"
"""What a developer that is signed in has on routes of no app; tokens of apps and users never have it."""

_CHALLENGE = b'Bearer realm="tollgate", error="insufficient_scope", scope="%s"'


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a control request."""

    app: str
    user: str | None
    scopes: frozenset[str] = field(repr=False)
    """With those that they include."""
    basic: bool = False
    """True: authenticated by the client secret itself."""
    key: str | None = None
    """Id of the API key, if it is one."""
    address: str = ""
    signed_in: SignedInDeveloper | None = field(default=None, repr=False)
    """The developer, where it is one; `scopes` are then those of its role in the app of the path."""

    @property
    def actor(self) -> Actor:
        """Return who this is in the audit log."""
        if self.signed_in is not None:
            return Actor(ActorKind.DEVELOPER, self.signed_in.developer.developer_id, address=self.address)
        if self.user is None:
            return Actor(ActorKind.APP, self.app, self.key, self.address)
        return Actor(ActorKind.USER, self.user, self.key, self.address)


class Callers:
    """Finds the caller of a request, by Basic, by a token, by an API key, or by the session of a developer."""

    def __init__(
        self, credentials: CredentialCache, clients: ClientAuthentication, developers: DeveloperCredentials
    ) -> None:
        self._credentials = credentials
        self._clients = clients
        self._developers = developers

    async def identify(self, request: Request) -> Caller:
        """Return the caller. Raises `Refusal`: 401, 403 from a wrong address, 429 past the limit of failures."""
        exchange: Exchange = request.scope["tollgate.exchange"]
        address = exchange.client_address
        authorization = request.headers.getlist("authorization")
        secret = basic_credentials(authorization[0]) if len(authorization) == 1 else None
        if secret is not None and "x-api-key" not in request.headers:
            app = await self._clients.authenticate(secret, address)
            return Caller(app.client_id, None, CONTROL_SCOPES, basic=True, address=address)
        credential = presented(request.headers.raw)
        signed_in = await self._developer(credential, address)
        if signed_in is not None:
            return await self._member(request.path_params.get("client_id"), signed_in, address)
        verdict = self._credentials.cached(credential) or await self._credentials.judge(credential)
        if isinstance(verdict, Denial):
            if verdict.status == 401:
                self._clients.count_failure("", address)
            raise refusal_of(verdict)
        if verdict.origins is not None:
            check_origin(verdict.origins, exchange, request.headers.raw)
        check_address(verdict, address)
        principal = verdict.principal
        scopes = covered(verdict.scopes)
        return Caller(principal.app, principal.user, scopes, key=principal.key, address=address)

    async def _developer(self, credential: bytes, address: str) -> SignedInDeveloper | None:
        try:
            return await self._developers.judge(credential)
        except Refusal as refusal:
            if refusal.status == 401:
                self._clients.count_failure("", address)
            raise

    async def _member(self, app: str | None, signed_in: SignedInDeveloper, address: str) -> Caller:
        if app is None:
            return Caller("", None, frozenset({DEVELOPER}), address=address, signed_in=signed_in)
        scopes = await self._developers.scopes_in(app, signed_in.developer)
        return Caller(app, None, scopes, address=address, signed_in=signed_in)


class CallerWith:
    """The dependency: the caller, who has one of `scopes` and, where the path names an app, is of that app.

    Other apps do not exist for it: 404, whether there is one of that id or not.
    """

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes

    async def __call__(self, request: Request, response: Response) -> Caller:
        callers: Callers = request.app.state.callers
        caller = await callers.identify(request)
        act: Act | None = getattr(request.state, "act", None)
        if act is not None:
            act.actor, act.target = caller.actor, replace(act.target, app=caller.app)
        if request.path_params.get("client_id", caller.app) != caller.app:
            raise Refusal(404, "unknown_id", "There is no such app.")
        if caller.scopes.isdisjoint(self.scopes):
            raise insufficient_scope(self.scopes)
        response.headers["cache-control"] = "no-store"
        return caller


class UserCaller(CallerWith):
    """The dependency of routes for users themselves: the caller is a user, by its own key or token."""

    def __init__(self) -> None:
        super().__init__(*sorted(WORK_SCOPES))

    async def __call__(self, request: Request, response: Response) -> Caller:
        caller = await super().__call__(request, response)
        if caller.user is None:
            raise Refusal(403, "insufficient_scope", "The credential belongs to an app, not to one of its users.")
        return caller


class DeveloperCaller(CallerWith):
    """The dependency of routes for developers themselves: the caller is signed in."""

    def __init__(self) -> None:
        super().__init__(DEVELOPER)


class OpenToAll:
    """The dependency of the few routes that need no credential, as they are what one signs in with."""

    async def __call__(self, response: Response) -> None:
        response.headers["cache-control"] = "no-store"


def insufficient_scope(scopes: tuple[str, ...]) -> Refusal:
    """Return the refusal of a credential without any of these scopes (RFC 6750 section 3.1)."""
    detail = f"The credential needs the scope {' or '.join(scopes)}."
    return Refusal(
        403, "insufficient_scope", detail, headers=[(b"www-authenticate", _CHALLENGE % " ".join(scopes).encode())]
    )
