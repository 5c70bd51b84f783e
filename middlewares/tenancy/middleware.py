"""The tenancy stage: each app has its own names at the gateways, each request goes to the gateway of its resource."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.body_buffers import BodyBuffers
from middlewares.exchange import Exchange, Principal, Refusal
from middlewares.large_json import LargeJson
from middlewares.routing.route import Route
from middlewares.routing.traits import Creates, Links, Names, StreamStep
from middlewares.store import StoreError
from middlewares.stream_scope import check_stream, check_viewed_stream
from middlewares.tenancy.affinity import ResourceLocation, StickyAssignment
from middlewares.tenancy.affinity_table import AffinityTable, Resource, ResourceKind
from middlewares.tenancy.public_urls import PublicUrls
from middlewares.tenancy.request_bodies import read_body, replay, requested_video, started_stream
from middlewares.tenancy.resource_paths import READERS, TRACKED_KINDS, must_be_known, unknown_id
from middlewares.tenancy.responses import hide_origins, report_created_ids, rewrite_document, rewrite_headers


class TenancyMiddleware:
    """Rewrites names in the request, sets its affinity, and handles ids and links in the response.

    Raises `Refusal`: 404 for a resource that is another app's or does not exist, without a request to the gateway; 503
    where Redis is lost and this worker does not know the resource.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        affinity_table: AffinityTable,
        buffers: BodyBuffers,
        large_json: LargeJson,
        single_gateway: bool,
        public_url: str | None = None,
        media_url: str | None = None,
    ) -> None:
        """With a `single_gateway`, names that clients choose are not looked up: it has them all."""
        self.app = app
        self.single_gateway = single_gateway
        self.affinity_table = affinity_table
        self.buffers = buffers
        self.large_json = large_json
        self.public_url = public_url
        self.media_url = media_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        route, principal = exchange.route, exchange.principal
        assert route is not None and principal is not None  # noqa: S101, PT018 - edge and auth stand before this stage
        if route.names in READERS:
            await self._locate_by_path(exchange, principal, route)
        elif route.names is not Names.NOTHING and exchange.method != "OPTIONS":
            receive = await self._locate_by_body(exchange, principal, route, receive)
        await self.app(scope, receive, self._wrap_send(scope, exchange, principal.app, route, send))

    async def _locate_by_path(self, exchange: Exchange, principal: Principal, route: Route) -> None:
        readings = READERS[route.names](principal.app, exchange.target)
        if route.names is Names.VIEWED_STREAM:
            check_viewed_stream(principal, readings[0].target.split(b"/")[3].decode("ascii"))
        elif readings[0].resource.kind is not ResourceKind.RESULT:  # whose id only its owner has learned
            check_stream(principal, readings[0].resource.name)
        creates = route.creates is Creates.NAMED and exchange.method != "OPTIONS"
        found = await self._find(exchange, [reading.resource for reading in readings], creates=creates)
        if found is None and must_be_known(readings):
            raise unknown_id()
        reading = next((each for each in readings if found and each.resource == found.resource), readings[-1])
        exchange.target = reading.target
        exchange.affinity = found
        if creates:
            exchange.affinity = StickyAssignment(
                self.affinity_table, reading.resource, found, store_lost=exchange.store_lost
            )
        if route.stream is StreamStep.OFFER:
            separator = b"&" if b"?" in reading.target else b"?"
            exchange.target += separator + b"streamId=" + reading.resource.name.encode()

    async def _locate_by_body(
        self, exchange: Exchange, principal: Principal, route: Route, receive: Receive
    ) -> Receive:
        app = principal.app
        body = await read_body(receive, exchange, self.buffers)
        if route.creates is Creates.NAMED:
            resource, body = await self.large_json.parse(body, partial(started_stream, app))
            check_stream(principal, resource.name)
            found = await self._find(exchange, [resource])
            exchange.affinity = StickyAssignment(self.affinity_table, resource, found)
            exchange.new_stream = resource.name
        else:
            video = await self.large_json.parse(body, partial(requested_video, app))
            exchange.affinity = await self._find(exchange, [video])
            if exchange.affinity is None:
                raise unknown_id()
        return replay(body, exchange, receive)

    async def _find(
        self, exchange: Exchange, resources: Sequence[Resource], *, creates: bool = False
    ) -> ResourceLocation | None:
        """Return the gateway of the first of `resources` that is known; ids that gateways make up may be very new."""
        if self.single_gateway and not creates and TRACKED_KINDS.isdisjoint(resource.kind for resource in resources):
            return None
        exchange.store_lost |= exchange.hold is not None and exchange.hold.local
        retry = resources[0].kind in (ResourceKind.RESULT, ResourceKind.VIDEO)
        try:
            found = await self.affinity_table.find(resources, retry=retry, store_lost=exchange.store_lost)
        except StoreError:
            exchange.store_lost = True
            if not creates:
                raise _location_unavailable() from None
            found = None
        return ResourceLocation(self.affinity_table, *found) if found else None

    def _wrap_send(self, scope: Scope, exchange: Exchange, app: str, route: Route, send: Send) -> Send:
        """Return a `send` that records resources which the response creates, and rewrites its links."""
        send = hide_origins(send, lambda: self._urls(scope, exchange), self.large_json)
        if route.creates is Creates.RESULTS:

            def remember(kind: ResourceKind, names: set[str]) -> None:
                self.affinity_table.remember([Resource(app, kind, name) for name in names], exchange.gateway)

            send = report_created_ids(send, remember)
        elif route.links is Links.HEADERS:
            send = rewrite_headers(send, self._urls(scope, exchange))
        elif route.links is Links.DOCUMENT:
            send = rewrite_document(send, self._urls(scope, exchange), self.large_json)
        if isinstance(exchange.affinity, StickyAssignment):
            send = exchange.affinity.reassign_on_failover(exchange, send)
        return send

    def _urls(self, scope: Scope, exchange: Exchange) -> PublicUrls:
        """Return the rewriter to the configured origin, else to the one that this client used."""
        origin = self.public_url
        if origin is None:
            host: bytes = next(value for name, value in scope["headers"] if name == b"host")
            origin = f"{exchange.scheme}://{host.decode('ascii')}"
        return PublicUrls(origin, self.media_url)


def _location_unavailable() -> Refusal:
    return Refusal(
        503,
        "store_unavailable",
        "Tollgate cannot find out at the moment which gateway has this. Nothing was forwarded; try again shortly.",
        headers=[(b"retry-after", b"1")],
    )
