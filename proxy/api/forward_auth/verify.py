"""Forward-auth: says of another proxy's request whether Tollgate would let it in, and as whom (`/api/v1/verify`).

For `auth_request` of nginx, `forward_auth` of Caddy and `forwardAuth` of Traefik. One ASGI class without a framework:
a proxy asks before each of its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from starlette.types import Receive, Scope, Send

from config.workloads import Workload
from middlewares.address_limit import AddressLimit
from middlewares.auth.middleware import check_address, check_origin, presented, refusal_of
from middlewares.auth.ports import CredentialCache
from middlewares.auth.verdict import Denial, Grant
from middlewares.edge.target import check_path, split_target
from middlewares.exchange import Exchange, Headers, Principal, Refusal
from middlewares.ledger.ledger import Ledger
from middlewares.ledger.model import Denied, LedgerUnavailable
from middlewares.rate_limit.refusal import limit_refusal, store_unavailable
from middlewares.routes import MATCHER
from middlewares.routing.route import Route
from middlewares.routing.traits import Names
from middlewares.store import StoreError

PATH = b"/api/v1/verify"
ORIGINAL_URIS = (b"x-original-uri", b"x-forwarded-uri")
"""Headers in which proxies name the target of the request that they ask about."""
ORIGINAL_METHODS = (b"x-original-method", b"x-forwarded-method")


class VerifyApplication:
    """Responds 200 with the principal in headers, or refuses by `Refusal`: 401, 402, 403, 429, 503.

    Nothing of it may be stored: a revocation counts from the next request on, as on the data path.
    """

    def __init__(self, credentials: CredentialCache, ledger: Ledger, failure_limit: AddressLimit) -> None:
        self._credentials = credentials
        self._ledger = ledger
        self._failure_limit = failure_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check method, path and parameters, then the credential, and count the request if that is wanted."""
        exchange: Exchange = scope["tollgate.exchange"]
        path, query = split_target(scope["tollgate.target"])
        if path != PATH:
            raise Refusal(404, "not_found", "There is no such route.")
        if scope["method"] not in ("GET", "HEAD"):
            detail = "This route takes GET, HEAD."
            raise Refusal(405, "method_not_allowed", detail, headers=[(b"allow", b"GET, HEAD")])
        counts = _counts(query)
        grant = await self._grant(scope["headers"], exchange)
        targets = _named_targets(scope["headers"])
        check_targets(grant.principal, targets)
        exchange.store_lost = grant.unconfirmed
        if counts:
            await self._count(exchange, grant.principal, targets)
        headers = [(b"cache-control", b"no-store"), (b"content-length", b"0"), *principal_headers(grant.principal)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def _grant(self, headers: Headers, exchange: Exchange) -> Grant:
        """Return what the credential is good for. Raises `Refusal`."""
        try:
            credential = presented(headers)
            verdict = self._credentials.cached(credential) or await self._credentials.judge(credential)
            if isinstance(verdict, Denial):
                exchange.owner = verdict.owner
                raise refusal_of(verdict)
        except StoreError:
            raise store_unavailable() from None
        except Refusal as refusal:
            if refusal.status == 401 and refusal.code != "missing_credentials":
                self._failure_limit.count(exchange.client_address)
            raise
        exchange.principal = verdict.principal
        if verdict.origins is not None:
            check_origin(verdict.origins, exchange, headers)
        check_address(verdict, exchange.client_address)
        return verdict

    async def _count(self, exchange: Exchange, principal: Principal, targets: list[NamedTarget]) -> None:
        """Count one request in the windows of the plan; caps and balance need something left. Raises `Refusal`.

        Nobody says when the other proxy's request ends, so it takes no place of the concurrency.
        """
        policy = self._ledger.policy(
            principal.app,
            principal.user,
            principal.key,
            principal.plan_name,
            principal.plan,
            terms=principal.key_terms,
        )
        # The hold needs a workload, also for what is no client route; it ends without a price and without an event.
        known = (target.route for target in targets if target.certain and target.route)
        workload = next((route.workload for route in known), Workload.PLAYBACK)
        try:
            decided = await self._ledger.enter(
                exchange.request_id, policy.beside_work, workload, store_lost=exchange.store_lost
            )
        except LedgerUnavailable:
            raise store_unavailable() from None
        if isinstance(decided, Denied):
            exchange.denied, exchange.limit_states = decided, (decided.limit_state,)
            raise limit_refusal(decided)
        exchange.limit_states = decided.limit_states
        self._ledger.release(decided.hold)


class NamedTarget(NamedTuple):
    """The target of the request that the other proxy asks about, as far as it can be told."""

    route: Route | None
    """The route of its path; None: no client route has it."""
    certain: bool
    """False: another reader may see another path in it, or another method, or it is of a method of no route."""

    def may_be(self, limited: Callable[[Route], bool]) -> bool:
        """Return True unless it is certain that the request is of no such route."""
        return not self.certain if self.route is None else limited(self.route)


def check_targets(principal: Principal, targets: Iterable[NamedTarget]) -> None:
    """Raise `Refusal` (403) where a narrowed credential does not cover a named request, known by its route.

    A target that is no client route is covered by no list of workloads. Models are named in bodies, which nobody
    shows here, and streams in some bodies, so a credential that is limited to these is of no use for such requests.
    """
    if principal.workloads is not None and not principal.workloads:
        raise Refusal(403, "insufficient_scope", "The credential is for no work at all, but for Tollgate's own API.")
    for target in targets:
        route = target.route if target.certain else None
        if principal.workloads is not None and (route is None or route.workload not in principal.workloads):
            raise Refusal(403, "insufficient_scope", "The credential is not valid for this kind of request.")
        if principal.models is not None and target.may_be(lambda route: route.begins_work):
            detail = "The credential is limited to models, which cannot be seen here; send the request to Tollgate."
            raise Refusal(403, "insufficient_scope", detail)
        if principal.streams is not None and target.may_be(lambda route: route.names is not Names.NOTHING):
            detail = "The credential is limited to streams, which cannot be seen here; send the request to Tollgate."
            raise Refusal(403, "stream_not_allowed", detail)


def principal_headers(principal: Principal) -> Headers:
    """Return who the caller is, percent-encoded. All are sent, empty or not, so that none of a client's survives."""
    values = {
        b"tollgate-app": principal.app,
        b"tollgate-user": principal.user or "",
        b"tollgate-key": principal.key or "",
        b"tollgate-plan": principal.plan_name,
        b"tollgate-tier": principal.plan.tier,
    }
    return [(name, quote(value, safe="@:+~").encode()) for name, value in values.items()]


def _counts(query: bytes) -> bool:
    parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if parameters not in ([], [("count", "0")], [("count", "1")]):
        raise Refusal(400, "invalid_parameter", "The only parameter is `count`, which is 0 or 1.")
    return parameters == [("count", "1")]


def _named_targets(headers: Headers) -> list[NamedTarget]:
    """Return each target that the other proxy names.

    A client may have sent one of these headers itself, so every value counts: one more can only forbid.
    """
    methods = {value.decode("latin-1") for name, value in headers if name in ORIGINAL_METHODS and value}
    found: list[NamedTarget] = []
    for name, value in headers:
        if name in ORIGINAL_URIS and value:
            target = _named_target(value.partition(b"?")[0])
            served = target.route is None or methods <= target.route.method_set
            found.append(target if served else target._replace(certain=False))
    return found


def _named_target(path: bytes) -> NamedTarget:
    """Return what is at a path, also where whoever serves it decodes it first."""
    try:
        check_path(path)
    except Refusal:
        return NamedTarget(None, certain=False)
    route = MATCHER.find(path)
    if route is not None:
        return NamedTarget(route, certain=True)
    decoded = MATCHER.find(unquote_to_bytes(path))
    return NamedTarget(decoded, certain=decoded is None)
