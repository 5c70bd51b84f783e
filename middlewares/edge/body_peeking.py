"""Bodies that are read before admission, as far as units, model or safety depend on them, and then replayed."""

import asyncio
import json
from functools import partial

from msgspec import structs
from starlette.types import Message

from config.access import Edge
from config.plans import Plan
from middlewares.edge.body import BodySource, parse_object
from middlewares.edge.declaration import add_members, declare, default_model, missing_members, model_member
from middlewares.edge.form import ModelFinder, malformed_form, model_part, with_epilogue
from middlewares.edge.openai import to_gateway_chat, wants_usage
from middlewares.edge.upload import PictureReader, UploadReader
from middlewares.exchange import Declaration, Exchange, Refusal
from middlewares.json_codec import to_json
from middlewares.large_json import LargeJson
from middlewares.routing.route import Route
from middlewares.routing.traits import Dialect


class ReplayableBody:
    """A body of which a part is read before it is forwarded, and then given to the stages that follow."""

    __slots__ = ("_declared", "_exchange", "_replay", "_route", "_settings", "_source")

    def __init__(self, exchange: Exchange, route: Route, source: BodySource, settings: Edge) -> None:
        self._exchange = exchange
        self._route = route
        self._source = source
        self._settings = settings
        self._replay: Message | None = None
        """What was read, and is still to be given."""
        self._declared: Declaration | None = None

    @property
    def _plan(self) -> Plan:
        principal = self._exchange.principal
        assert principal is not None  # noqa: S101 - bodies of unknown callers are not read
        return principal.plan

    async def receive(self) -> Message:
        """Return the next message: what was read before comes first. It is the ASGI `receive` of later stages."""
        replay, self._replay = self._replay, None
        return await self._source.receive() if replay is None else replay

    async def _next_chunk(self) -> tuple[bytes, bool]:
        """Return the next chunk of the body, and whether more follow.

        Raises `Refusal`: 400 for a client that left, 408 for one that sends nothing for as long as a head may take,
        429 or 503 where too much is in memory already.
        """
        source = self._source
        if source.connection.body_received():  # all of it is here: no timer is needed
            message = await source.receive()
        else:
            message = await self._receive_with_timeout()
        if message["type"] != "http.request":
            raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
        chunk: bytes = message.get("body", b"")
        if not source.small:
            source.buffers.take(self._exchange, len(chunk))
        return chunk, message.get("more_body", False)

    async def _receive_with_timeout(self) -> Message:
        seconds = self._settings.header_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._source.receive()
        except TimeoutError:
            detail = f"The body did not arrive in time: nothing came for {seconds:g} seconds."
            raise Refusal(408, "request_timeout", detail, close=True) from None


class JsonBody(ReplayableBody):
    """The body of a metered route: read whole when a stage calls `declare`, then replayed.

    Byte for byte, but for members that the gateway needs and the client left out: they are added at the end.
    """

    __slots__ = ("_parser",)

    def __init__(self, exchange: Exchange, route: Route, source: BodySource, settings: Edge, parser: LargeJson) -> None:
        """Take the `parser` of all bodies of the worker, beside the arguments of `ReplayableBody`."""
        super().__init__(exchange, route, source, settings)
        self._parser = parser

    async def declare(self) -> Declaration:
        """Return what the body declares. The principal has to be known.

        Raises `Refusal`: 400 for a body that is no JSON object, a wrong parameter or a client that left; 408 when
        the client stops sending; 413 over the limits; 429 or 503 where too much is in memory already.
        """
        if self._declared is None:
            arrived = self._source.arrived()
            if arrived is None:
                declared, body = await self._parser.parse(await self._read(), self._parse)
            else:
                declared, body = self._parse(arrived)
            self._declared = declared
            self._replay = {"type": "http.request", "body": body, "more_body": False}
            self._exchange.content_length = len(body)
            return declared
        return self._declared

    async def declare_model(self, model: str) -> Declaration:
        """Return what the body declares with that model in place of its own, written anew. `declare` came first.

        Raises `Refusal` (400) where the model does not take such a request; the body is then as it was.
        """
        assert self._replay is not None  # noqa: S101 - read by `declare`
        declared, body = await self._parser.parse(self._replay["body"], partial(self._rename, model))
        self._declared = declared
        self._replay = {"type": "http.request", "body": body, "more_body": False}
        self._exchange.content_length = len(body)
        return declared

    def _rename(self, model: str, body: bytes) -> tuple[Declaration, bytes]:
        workload = self._route.workload
        document = {**parse_object(body), model_member(workload): model}
        renamed = to_json(document)
        return declare(workload, document, renamed, self._settings, self._plan, added={}), renamed

    def _parse(self, body: bytes) -> tuple[Declaration, bytes]:
        """Return what `body` declares, and the body for the gateway. Raises `Refusal` (400)."""
        plan, workload, settings = self._plan, self._route.workload, self._settings
        document = parse_object(body)
        if self._route.dialect is Dialect.OPENAI:
            self._exchange.include_usage = wants_usage(document)
            document = to_gateway_chat(document)
            body = json.dumps(document).encode()
        added = missing_members(workload, document, settings, plan)
        declared = declare(workload, document, body, settings, plan, added=added)
        return declared, add_members(body, added, first=not document) if added else body

    async def _read(self) -> bytes:
        chunks = []
        more = True
        while more:
            chunk, more = await self._next_chunk()
            chunks.append(chunk)
        return b"".join(chunks)


class FormBody(ReplayableBody):
    """The body of a form: read as far as the form field that names its model, then replayed and passed on.

    Byte for byte, but for the configured model of a form that names none: it is put before the first part. All heads
    are checked, also those that pass after the request was admitted.
    """

    __slots__ = ("_boundary", "_finder", "_upload")

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        source: BodySource,
        settings: Edge,
        *,
        boundary: bytes,
        picture: PictureReader | None = None,
    ) -> None:
        """Take the multipart body's `boundary` and a reader of one image, beside the arguments of `ReplayableBody`."""
        super().__init__(exchange, route, source, settings)
        self._boundary = boundary
        self._upload = UploadReader(route.meter, picture)
        self._finder = ModelFinder(boundary, self._upload)

    async def receive(self) -> Message:
        """Give the next part of the body. Raises `Refusal` (400) where its form breaks off or a head is ambiguous.

        The last boundary is given with the end of the body: whoever has the whole form has the whole request.
        """
        if self._replay is not None:
            message = await super().receive()
        else:
            message = await self._source.receive()
            if message["type"] == "http.request":
                self._check(message.get("body", b""), more=message.get("more_body", False))
        if self._finder.complete and message.get("more_body", False):
            message = await with_epilogue(message, self._source.receive)
        return message

    async def declare(self) -> Declaration:
        """Return the model of the form, and the upper bound of its units as far as it was read.

        Raises `Refusal`: 400 for what is no form, for one that names no model where none is configured, or too late,
        for what exceeds the plan's maxima, and for a client that left; 408 when the client stops sending; 413 over
        the limit.
        """
        if self._declared is None:
            body, more = bytearray(), True
            while self._finder.model is None:
                if len(body) > (limit := self._settings.max_form_bytes):
                    raise malformed_form(f"its first {limit} bytes name no model; send `model_id` before the files")
                chunk, more = await self._next_chunk()
                self._check(chunk, more=more)
                body += chunk
            model, added = self._finder.model, b""
            if not model:
                model = default_model(self._route.workload, self._settings)
                added = model_part(self._boundary, model)
                body[self._finder.opening : self._finder.opening] = added
            if self._exchange.content_length is not None:
                self._exchange.content_length += len(added)
            self._replay = {"type": "http.request", "body": bytes(body), "more_body": more}
            plan, length = self._plan, self._exchange.content_length
            self._upload.limit(plan.maxima)
            size = len(body) if not more else self._settings.max_body_bytes if length is None else length
            units = self._upload.upper_bound(plan, size, complete=self._finder.complete)
            self._declared = Declaration(model=model, units=units)
        return self._declared

    async def declare_model(self, model: str) -> Declaration:
        """Return what the form declares with that model, put before its own: the first counts. `declare` came first."""
        declared, replay = self._declared, self._replay
        assert declared is not None and replay is not None  # noqa: S101, PT018 - by `declare`
        opening, added = self._finder.opening, model_part(self._boundary, model)
        body = replay["body"]
        self._replay = {**replay, "body": body[:opening] + added + body[opening:]}
        if self._exchange.content_length is not None:
            self._exchange.content_length += len(added)
        self._declared = structs.replace(declared, model=model)
        return self._declared

    def _check(self, chunk: bytes, *, more: bool) -> None:
        self._finder.feed(chunk)
        if not more:
            self._finder.finish()
