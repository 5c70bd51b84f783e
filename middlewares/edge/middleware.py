"""The first stage: refuses what must not pass, recognises the route, and strips what a client may not say."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from config.access import Edge
from config.workloads import Workload
from middlewares.connection import ClientConnection
from middlewares.edge.body import limited, to_its_end, too_large
from middlewares.edge.body_peeking import FormBody, JsonBody
from middlewares.edge.form import boundary_of
from middlewares.edge.forwarded import client_of
from middlewares.edge.headers import sort_fields, without_nominated
from middlewares.edge.job import job_declaration
from middlewares.edge.request import body_length, check_request
from middlewares.edge.target import check_path, split_target, without_reserved
from middlewares.exchange import Exchange, Headers
from middlewares.routes import EXACT, Entry, find_entry

_IMAGE_TO_VIDEO = Workload.IMAGE_TO_VIDEO


class EdgeMiddleware:
    """Fills the exchange's edge part, or raises `Refusal`.

    Needs two things of the server in the scope: `tollgate.target`, the request target as received, because `path`
    no longer tells an absolute-form target from a path; and `tollgate.connection` with `body_received()` and
    `unread_body()`. The server also bounds the request head, as it reads it.
    """

    def __init__(self, app: ASGIApp, settings: Edge) -> None:
        self.app = app
        self.settings = settings
        self._most_json, self._most_body = settings.max_json_bytes, settings.max_body_bytes
        self._trusted = settings.trusted_proxies

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            return send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return self.app(scope, receive, send)

        exchange: Exchange = scope["tollgate.exchange"]
        method, http_version = scope["method"], scope["http_version"]
        fields, read = sort_fields(scope["headers"])
        check_request(method, http_version, read)
        length = body_length(http_version, read)
        target = scope["tollgate.target"]
        path, query = (target, b"") if target in EXACT else split_target(target)
        entry = find_entry(method, path, check_path)

        exchange.route = route = entry.route
        if route.workload is _IMAGE_TO_VIDEO and not self.settings.async_video:
            fields = [field for field in fields if field[0] != b"prefer"]  # a server may ignore it (RFC 7240 section 2)
        exchange.target = _target(entry.target or path, query)
        exchange.headers = _headers(fields, read, entry, exchange.request_id.encode())
        exchange.content_length = length
        exchange.has_body = length != 0
        client = scope["client"]
        exchange.client_address, exchange.scheme = client_of(
            client[0] if client else "",
            scope["scheme"],
            read.get(b"x-forwarded-for", b""),
            read.get(b"x-forwarded-proto", b""),
            self._trusted,
        )

        if route.outlives_client:
            receive = to_its_end(receive, scope["tollgate.connection"])
        limit = self._most_json if route.metered_json else self._most_body
        if length is None:
            receive = limited(receive, limit)
        elif length > limit:
            raise too_large(limit)
        if route.metered_json or entry.form or entry.job_header:
            receive = self._declaring(exchange, entry, read, receive, scope["tollgate.connection"])
        return self.app(scope, receive, send)

    def _declaring(
        self, exchange: Exchange, entry: Entry, read: dict[bytes, bytes], receive: Receive, connection: ClientConnection
    ) -> Receive:
        """`receive` that gives once more what is read to learn what the request declares."""
        body: JsonBody | FormBody
        if entry.route.metered_json:
            body = JsonBody(exchange, entry, receive, connection, self.settings)
        elif entry.form and (boundary := boundary_of(exchange.headers)):
            body = FormBody(exchange, entry, receive, connection, self.settings, boundary=boundary)
        else:
            if entry.job_header and b"livepeer" in read:  # without one the gateway refuses what needs one
                exchange.declare = job_declaration(exchange, read[b"livepeer"])
            return receive
        exchange.declare = body.declare
        return body.receive


def _target(path: bytes, query: bytes) -> bytes:
    if query:
        query = without_reserved(query)
    return path + b"?" + query if query else path


def _headers(fields: Headers, read: dict[bytes, bytes], entry: Entry, request_id: bytes) -> Headers:
    """Fields for the gateway. X-Forwarded-For carries the request id, by which its payment events are reconciled."""
    if b"connection" in read:
        fields = without_nominated(fields, read[b"connection"])
    if entry.identity:
        fields.append((b"accept-encoding", b"identity"))
    elif b"accept-encoding" in read:
        fields.append((b"accept-encoding", read[b"accept-encoding"]))
    fields.append((b"x-request-id", request_id))
    fields.append((b"x-forwarded-for", request_id))
    return fields
