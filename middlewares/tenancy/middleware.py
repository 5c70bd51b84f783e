"""To each app its own names at the gateways, and each request to the gateway that has what it names."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange, Refusal
from middlewares.store import StoreError
from middlewares.tenancy.affinity import ResourceLocation, StickyAssignment
from middlewares.tenancy.affinity_table import AffinityTable, Resource, ResourceKind
from middlewares.tenancy.public_urls import PublicUrls
from middlewares.tenancy.request_bodies import read_whole, replay, start_of, video_of
from middlewares.tenancy.resource_paths import PLACED_HERE, READERS, must_be_placed, not_found
from middlewares.tenancy.responses import noticing, with_public_document, with_public_headers

FOUNDING = frozenset({"live-push", "live-whip"})
"""What their path names begins to exist with the first request."""
MAKING = frozenset(
    {"text-to-image", "image-to-image", "image-to-video", "image-to-video-result", "upscale", "text-to-speech"}
)
"""Their answers name what a gateway has made."""
LINKING_HEADERS = frozenset({"live-whip", "byoc-stream-whip"})
LINKING_DOCUMENTS = frozenset({"byoc-stream-start", "byoc-stream-status", "live-status"})
VIDEO_RESULT = "image-to-video-result"
STREAM_START = "byoc-stream-start"
NAMING = READERS.keys() | {VIDEO_RESULT, STREAM_START}
"""They name something: in their path, or these two in their body."""

CONCERNED = NAMING | FOUNDING | MAKING | LINKING_HEADERS | LINKING_DOCUMENTS
"""Routes with names; all others pass untouched."""


class TenancyMiddleware:
    """Rewrites names of the request, sets its affinity, and looks after the ids and links of the answer.

    Raises `Refusal`: 404 for what is another app's or does not exist, which the gateway does not hear of; 503 where
    Redis is lost and only Redis knows.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        affinity_table: AffinityTable,
        alone: bool,
        public_url: str | None = None,
        media_url: str | None = None,
    ) -> None:
        """`alone`: there is but one gateway, so that it is clear where named resources are."""
        self._app = app
        self._alone = alone
        self._affinity_table = affinity_table
        self._public_url = public_url
        self._media_url = media_url

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass routes without names on at the cost of one look-up."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        exchange: Exchange = scope["tollgate.exchange"]
        assert exchange.route is not None and exchange.principal is not None  # noqa: S101, PT018 - edge, auth
        route, app = exchange.route.name, exchange.principal.app
        if route in NAMING:
            return self._named(scope, receive, send, app=app, route=route)
        if route in CONCERNED:
            send = self._answering(scope, exchange, app, route, send)
        return self._app(scope, receive, send)

    async def _named(self, scope: Scope, receive: Receive, send: Send, *, app: str, route: str) -> None:
        exchange: Exchange = scope["tollgate.exchange"]
        if route in READERS:
            await self._by_path(exchange, app, route)
        elif exchange.method != "OPTIONS":
            receive = await self._by_body(exchange, app, route, receive)
        await self._app(scope, receive, self._answering(scope, exchange, app, route, send))

    async def _by_path(self, exchange: Exchange, app: str, route: str) -> None:
        readings = READERS[route](app, exchange.target)
        founding = route in FOUNDING and exchange.method != "OPTIONS"
        found = await self._find(exchange, [reading.resource for reading in readings], founding=founding)
        if found is None and must_be_placed(readings):
            raise not_found()
        reading = next((each for each in readings if found and each.resource == found.resource), readings[-1])
        exchange.target = reading.target
        exchange.affinity = found
        if founding:
            exchange.affinity = StickyAssignment(
                self._affinity_table, reading.resource, found, store_lost=exchange.store_lost
            )
        if route == "live-whip":
            exchange.target += (
                (b"&" if b"?" in reading.target else b"?") + b"streamId=" + reading.resource.name.encode()
            )

    async def _by_body(self, exchange: Exchange, app: str, route: str, receive: Receive) -> Receive:
        body = await read_whole(receive)
        if route == VIDEO_RESULT:
            exchange.affinity = await self._find(exchange, [video_of(app, body)])
            if exchange.affinity is None:
                raise not_found()
        else:
            resource, body = start_of(app, body)
            found = await self._find(exchange, [resource])
            exchange.affinity = StickyAssignment(self._affinity_table, resource, found)
        return replay(body, exchange, receive)

    async def _find(
        self, exchange: Exchange, resources: Sequence[Resource], *, founding: bool = False
    ) -> ResourceLocation | None:
        """Where the first of `resources` is that is anywhere. A gateway's own ids may be new to Redis for a moment."""
        if self._alone and not founding and PLACED_HERE.isdisjoint(resource.kind for resource in resources):
            return None
        exchange.store_lost |= exchange.hold is not None and exchange.hold.local
        patient = resources[0].kind in (ResourceKind.RESULT, ResourceKind.VIDEO)
        try:
            found = await self._affinity_table.find(resources, patient=patient, store_lost=exchange.store_lost)
        except StoreError:
            exchange.store_lost = True
            if not founding:
                raise _unknown_now() from None
            found = None
        return ResourceLocation(self._affinity_table, *found) if found else None

    def _answering(self, scope: Scope, exchange: Exchange, app: str, route: str, send: Send) -> Send:
        if route in MAKING:

            def notice(kind: ResourceKind, names: set[str]) -> None:
                self._affinity_table.remember([Resource(app, kind, name) for name in names], exchange.gateway)

            send = noticing(send, notice)
        elif route in LINKING_HEADERS:
            send = with_public_headers(send, self._urls(scope, exchange))
        elif route in LINKING_DOCUMENTS:
            send = with_public_document(send, self._urls(scope, exchange))
        if isinstance(exchange.affinity, StickyAssignment):
            send = exchange.affinity.following(exchange, send)
        return send

    def _urls(self, scope: Scope, exchange: Exchange) -> PublicUrls:
        """Rewrites to the configured origin, else to the one that this client used."""
        origin = self._public_url
        if origin is None:
            host: bytes = next(value for name, value in scope["headers"] if name == b"host")
            origin = f"{exchange.scheme}://{host.decode('ascii')}"
        return PublicUrls(origin, self._media_url)


def _unknown_now() -> Refusal:
    return Refusal(
        503,
        "store_unavailable",
        "The gate cannot find out at the moment which gateway has this. Nothing was forwarded; try again shortly.",
        headers=[(b"retry-after", b"1")],
    )
