"""The edge of the control surfaces: what the pipeline's edge checks of any HTTP request, and bounds of their own."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from config.control import ControlSettings
from config.networks import Network
from middlewares.address_limit import AddressLimit
from middlewares.edge.body import too_large
from middlewares.edge.forwarded import locate_client
from middlewares.edge.headers import sort_headers
from middlewares.edge.request import body_length, check_request
from middlewares.edge.target import check_path, check_query, split_target
from middlewares.exchange import Exchange, Refusal
from proxy.api.request_body import BoundedBody


def request_limit(per_minute: int) -> AddressLimit:
    """Return the rate class of control requests."""
    return AddressLimit("control-requests", per_minute, counted="requests", unit="requests")


def token_request_limit(per_minute: int) -> AddressLimit:
    """Return the rate class of requests to the issuer, apart from all others."""
    return AddressLimit("token-requests", per_minute, counted="token requests", unit="requests")


def portal_request_limit(per_minute: int) -> AddressLimit:
    """Return the rate class of requests to the portal, apart from all others."""
    return AddressLimit("portal-requests", per_minute, counted="portal requests", unit="requests")


class ControlEdgeMiddleware:
    """Refuse ambiguous requests, clients that call too often, and bodies that are too large or too slow.

    Raises `Refusal`, which the response stage answers, unless the application does. Nothing here, and nothing behind
    it, is admitted by the ledger.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ControlSettings,
        trusted_proxies: Sequence[Network],
        address_limit: AddressLimit | None,
        shows_refusals: bool = False,
    ) -> None:
        """`address_limit` is the rate class of its requests; None: their number is not limited here.

        With `shows_refusals` the application is handed what is refused here, as `tollgate.refusal` in its scope.
        """
        self.app = app
        self.settings = settings
        self.trusted_proxies = trusted_proxies
        self.address_limit = address_limit
        self.shows_refusals = shows_refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            receive = self._admitted(scope, receive)
        except Refusal as refusal:
            if not self.shows_refusals:
                raise
            scope = {**scope, "tollgate.refusal": refusal}
        await self.app(scope, receive, send)

    def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        """Return what receives the body of a request that is not refused. Raises `Refusal`."""
        exchange: Exchange = scope["tollgate.exchange"]
        _, headers = sort_headers(scope["headers"])
        locate_client(exchange, scope, headers, self.trusted_proxies)
        check_request(scope["method"], scope["http_version"], headers)
        exchange.content_length = length = body_length(scope["http_version"], headers)
        exchange.has_body = length != 0
        path, query = split_target(scope["tollgate.target"])
        check_path(path)
        check_query(query)
        if self.address_limit:
            self.address_limit.count(exchange.client_address)

        max_bytes = self.settings.max_body_bytes
        if length is not None and length > max_bytes:
            raise too_large(max_bytes)
        return BoundedBody(exchange, receive, max_bytes=max_bytes, seconds=self.settings.body_seconds).receive
