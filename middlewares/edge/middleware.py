"""The first stage: refuses what must not pass, finds the route, and strips what a client may not send."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from config.access import Edge
from middlewares.body_buffers import BodyBuffers
from middlewares.connection import ClientConnection
from middlewares.edge.body import SMALL_BODY_BYTES, BodySource, TimedBody, keep_complete_body, limit_body, too_large
from middlewares.edge.body_peeking import FormBody, JsonBody
from middlewares.edge.form import boundary_of
from middlewares.edge.forwarded import locate_client
from middlewares.edge.headers import drop_nominated, sort_headers
from middlewares.edge.job import JobHeader
from middlewares.edge.request import body_length, check_coding, check_request
from middlewares.edge.target import check_path, drop_reserved_parameters, split_target
from middlewares.edge.upload import PictureReader, segment_declaration
from middlewares.exchange import Exchange, Headers, Refusal
from middlewares.idempotent_request import HEADER, IdempotentRequest, RequestFingerprint
from middlewares.large_json import LargeJson
from middlewares.routes import MATCHER
from middlewares.routing.route import Route
from middlewares.routing.traits import Body, Measure


class EdgeMiddleware:
    """Fills in the edge part of the exchange, or raises `Refusal`.

    Needs the server's `tollgate.target` in the scope: the request target as received, because `path` does not show
    whether it was an absolute-form target. The server also bounds the request head, as it reads it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Edge,
        buffers: BodyBuffers,
        large_json: LargeJson,
        picture: Callable[[], PictureReader] | None = None,
    ) -> None:
        """`picture` makes a reader of an image's size; without it, an upload has the largest size of its plan."""
        self.app = app
        self.settings = settings
        self.buffers = buffers
        self.picture = picture
        self.large_json = large_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["tollgate.exchange"]
        connection: ClientConnection = scope["tollgate.connection"]
        settings = self.settings
        http_version = scope["http_version"]
        headers, read = sort_headers(scope["headers"])
        check_request(scope["method"], http_version, read)
        length = body_length(http_version, read)
        path, query, route = _route(scope["method"], scope["tollgate.target"])

        exchange.route = route
        if route.body in (Body.JSON, Body.FORM):
            check_coding(headers)
        if route.detachable and not settings.async_video:
            headers = [item for item in headers if item[0] != b"prefer"]  # a server may ignore it (RFC 7240 section 2)
        exchange.target = _target(route.target or path, query)
        exchange.headers = _gateway_headers(headers, read, route, exchange.request_id.encode())
        exchange.content_length = length
        exchange.has_body = length != 0
        locate_client(exchange, scope, read, settings.trusted_proxies)

        small = length is not None and length <= SMALL_BODY_BYTES
        if length != 0 and not connection.body_received():
            seconds = min(settings.body_seconds, settings.header_seconds) if small else settings.body_seconds
            receive = TimedBody(receive, connection, seconds, settings.body_bytes_per_second).receive
        fingerprint = _fingerprint(exchange, route, read) if HEADER in read else None
        if route.outlives_client or fingerprint is not None:
            receive = keep_complete_body(receive, connection)
        limit = settings.max_json_bytes if route.body is Body.JSON else settings.max_body_bytes
        if length is None:
            receive = limit_body(receive, limit)
        elif length > limit:
            raise too_large(limit)
        if fingerprint is not None:
            receive = fingerprint.passing(receive)
        if route.meter is Measure.RENDITIONS:
            exchange.declare = segment_declaration(exchange, settings.max_body_bytes)
        elif route.body is not Body.STREAMED:
            source = BodySource(receive, connection, self.buffers, small, fingerprint)
            receive = self._peeking(exchange, route, read, source)
        try:
            await self.app(scope, receive, send)
        finally:
            self.buffers.give_back(exchange)

    def _peeking(
        self,
        exchange: Exchange,
        route: Route,
        read: dict[bytes, bytes],
        source: BodySource,
    ) -> Receive:
        """Return a `receive` that gives once more what is read to learn what the request declares."""
        body: JsonBody | FormBody
        if route.body is Body.JSON:
            body = JsonBody(exchange, route, source, self.settings, self.large_json)
        elif route.body is Body.FORM and (boundary := boundary_of(exchange.headers)):
            picture = self.picture() if self.picture else None
            body = FormBody(exchange, route, source, self.settings, boundary=boundary, picture=picture)
        else:
            if route.body is Body.JOB and b"livepeer" in read:  # a gateway refuses what lacks the header it needs
                job = JobHeader(exchange, route, read[b"livepeer"])
                exchange.declare, exchange.declare_model = job.declare, job.declare_model
            return source.receive
        exchange.declare, exchange.declare_model = body.declare, body.declare_model
        exchange.declares_late = not source.small
        return body.receive


def _route(method: str, target: bytes) -> tuple[bytes, bytes, Route]:
    """Return path, query and route. Raises `Refusal`: 404 for no client route, 405 for a method it does not have."""
    route = MATCHER.exact.get(target)
    path, query = (target, b"") if route else split_target(target)
    if route is None and (route := MATCHER.exact.get(path)) is None:
        check_path(path)
        route = MATCHER.find(path)
        if route is None:
            raise Refusal(404, "not_found", "There is no such route. Paths are the gateway's own.")
    if method not in route.method_set:
        detail = f"This route takes {route.allow.decode()}."
        raise Refusal(405, "method_not_allowed", detail, headers=[(b"allow", route.allow)])
    return path, query, route


def _fingerprint(exchange: Exchange, route: Route, read: dict[bytes, bytes]) -> RequestFingerprint | None:
    """Note the request's `Idempotency-Key` where its route takes one, and return the fingerprint to be made of it."""
    if not route.repeatable or exchange.method != "POST":
        return None
    boundary = boundary_of(exchange.headers) if route.body is Body.FORM else None
    fingerprint = RequestFingerprint(exchange.target, read.get(b"livepeer", b""), boundary or b"")
    exchange.idempotent = IdempotentRequest(read[HEADER], fingerprint)
    return fingerprint


def _target(path: bytes, query: bytes) -> bytes:
    if query:
        query = drop_reserved_parameters(query)
    return path + b"?" + query if query else path


def _gateway_headers(headers: Headers, read: dict[bytes, bytes], route: Route, request_id: bytes) -> Headers:
    """Return the headers for the gateway. X-Forwarded-For carries the request id, which its payment events repeat."""
    if b"connection" in read:
        headers = drop_nominated(headers, read[b"connection"])
    if route.reads_response:
        headers.append((b"accept-encoding", b"identity"))
    elif b"accept-encoding" in read:
        headers.append((b"accept-encoding", read[b"accept-encoding"]))
    headers.append((b"x-request-id", request_id))
    headers.append((b"x-forwarded-for", request_id))
    return headers
