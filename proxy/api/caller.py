"""Who calls the builder API, and with which scope: one dependency that every one of its routes has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fastapi import Request, Response

from middlewares.auth.middleware import check_address, presented, refusal_of
from middlewares.auth.ports import CredentialCache
from middlewares.auth.verdict import WORK_SCOPES, Denial
from middlewares.exchange import Exchange, Refusal
from proxy.control.audit.line import Actor, ActorKind
from proxy.control.audit.log import Act
from proxy.identity.client_authentication import ClientAuthentication, basic_credentials
from proxy.identity.token_issuer import CONTROL_SCOPES, covered

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

    @property
    def actor(self) -> Actor:
        """Return who this is in the audit log."""
        if self.user is None:
            return Actor(ActorKind.APP, self.app, self.key, self.address)
        return Actor(ActorKind.USER, self.user, self.key, self.address)


class Callers:
    """Finds the caller of a request, by Basic, by a token, or by an API key."""

    def __init__(self, credentials: CredentialCache, clients: ClientAuthentication) -> None:
        self._credentials = credentials
        self._clients = clients

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
        verdict = self._credentials.cached(credential) or await self._credentials.judge(credential)
        if isinstance(verdict, Denial):
            if verdict.status == 401:
                self._clients.count_failure("", address)
            raise refusal_of(verdict)
        check_address(verdict, address)
        principal = verdict.principal
        scopes = covered(verdict.scopes)
        return Caller(principal.app, principal.user, scopes, key=principal.key, address=address)


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


def insufficient_scope(scopes: tuple[str, ...]) -> Refusal:
    """Return the refusal of a credential without any of these scopes (RFC 6750 section 3.1)."""
    detail = f"The credential needs the scope {' or '.join(scopes)}."
    return Refusal(
        403, "insufficient_scope", detail, headers=[(b"www-authenticate", _CHALLENGE % " ".join(scopes).encode())]
    )
