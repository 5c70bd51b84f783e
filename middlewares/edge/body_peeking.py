"""Bodies that are read ahead, before admission, as far as units, model or safety depend on them; then replayed."""

import asyncio
import json
from collections.abc import Awaitable, Mapping

import msgspec
from starlette.types import Message, Receive

from config.access import Edge
from middlewares.connection import ClientConnection
from middlewares.edge.body import parse_object
from middlewares.edge.declared import declare, default_model, missing
from middlewares.edge.form import ModelFinder, malformed, model_part
from middlewares.edge.openai import chat_request
from middlewares.exchange import Declared, Exchange, Refusal
from middlewares.routing.route import Route
from middlewares.routing.traits import Dialect


class ReplayableBody:
    """A body of which a part is read before it is forwarded, and then given to the stages that follow."""

    __slots__ = ("_connection", "_declared", "_exchange", "_first", "_receive", "_route", "_settings")

    def __init__(
        self, exchange: Exchange, route: Route, receive: Receive, connection: ClientConnection, settings: Edge
    ) -> None:
        self._exchange = exchange
        self._route = route
        self._receive = receive
        self._connection = connection
        self._settings = settings
        self._first: Message | None = None
        """What was read, and is still to be given."""
        self._declared: Declared | None = None

    async def receive(self) -> Message:
        """The ASGI `receive` of the stages that follow."""
        first, self._first = self._first, None
        return await self._receive() if first is None else first

    def _next(self) -> Awaitable[Message]:
        """The next part of the body, or that the client left. One that is all here needs no timer."""
        return self._receive() if self._connection.body_received() else self._in_time()

    async def _in_time(self) -> Message:
        """Raises `Refusal` (408) for a client that sends nothing for as long as a head may take."""
        try:
            async with asyncio.timeout(self._settings.header_seconds):
                return await self._receive()
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None


class JsonBody(ReplayableBody):
    """The body of a metered route: read ahead when a stage asks what it declares, then replayed.

    Byte for byte, but for members that the gateway needs and the client left out: they are added at the end.
    """

    __slots__ = ()

    async def declare(self) -> Declared:
        """What the body declares. The principal has to be known.

        Raises `Refusal`: 400 for a body that is no JSON object, a wrong parameter or a client that left; 408 when
        the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            principal = self._exchange.principal
            assert principal is not None  # noqa: S101 - strangers' bodies are not read
            workload = self._route.workload
            body = await self._read()
            document = parse_object(body)
            if self._route.dialect is Dialect.OPENAI:
                document = chat_request(document)
                body = json.dumps(document).encode()
            added = missing(workload, document, self._settings, principal.plan)
            self._declared = declare(workload, document, body, self._settings, principal.plan, added=added)
            if added:
                body = with_members(body, added, first=not document)
            self._first = {"type": "http.request", "body": body, "more_body": False}
            self._exchange.content_length = len(body)
        return self._declared

    async def _read(self) -> bytes:
        pieces = []
        more = True
        while more:
            message = await self._next()
            if message["type"] != "http.request":
                raise _client_left()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)


class FormBody(ReplayableBody):
    """The body of a form: read as far as the part that names its model, then replayed and passed on.

    Byte for byte, but for the configured model of a form that names none: it is put before the first part. All heads
    are checked, also those that pass after the request was admitted.
    """

    __slots__ = ("_boundary", "_finder")

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        receive: Receive,
        connection: ClientConnection,
        settings: Edge,
        *,
        boundary: bytes,
    ) -> None:
        """Take what `ReplayableBody` takes, and the boundary of the form."""
        super().__init__(exchange, route, receive, connection, settings)
        self._boundary = boundary
        self._finder = ModelFinder(boundary)

    async def receive(self) -> Message:
        """Give the next part of the body. Raises `Refusal` (400) where its form breaks off or a head is ambiguous."""
        if self._first is not None:
            return await super().receive()
        return self._checked(await self._receive())

    async def declare(self) -> Declared:
        """Return the model of the form.

        Raises `Refusal`: 400 for what is no form, for one that names no model where none is configured, or too late,
        and for a client that left; 408 when the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            body, more = bytearray(), True
            while self._finder.model is None:
                if len(body) > (most := self._settings.max_form_bytes):
                    raise malformed(f"its first {most} bytes name no model; send `model_id` before the files")
                message = self._checked(await self._next())
                if message["type"] != "http.request":
                    raise _client_left()
                more = message.get("more_body", False)
                body += message.get("body", b"")
            model, added = self._finder.model, b""
            if not model:
                model = default_model(self._route.workload, self._settings)
                added = model_part(self._boundary, model)
                body[self._finder.opening : self._finder.opening] = added
            if self._exchange.content_length is not None:
                self._exchange.content_length += len(added)
            self._first = {"type": "http.request", "body": bytes(body), "more_body": more}
            self._declared = Declared(model=model)
        return self._declared

    def _checked(self, message: Message) -> Message:
        if message["type"] == "http.request":
            self._finder.feed(message.get("body", b""))
            if not message.get("more_body", False):
                self._finder.finish()
        return message


def _client_left() -> Refusal:
    return Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)


def with_members(body: bytes, members: Mapping[str, object], *, first: bool) -> bytes:
    """`body`, a JSON object, with more members at its end; `first`: it has none yet. Go reads the last of a name."""
    added = msgspec.json.encode(members)[1:]
    return body.rstrip(b" \t\r\n")[:-1] + (added if first else b"," + added)
