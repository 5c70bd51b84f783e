"""Bodies that are read ahead, before admission, as far as units, model or safety depend on them; then replayed."""

import asyncio
import json
from collections.abc import Callable, Mapping

import msgspec
from starlette.types import Message, Receive

from config.access import Edge
from config.workloads import Workload
from middlewares.edge.body import parse_object
from middlewares.edge.declared import declare, default_model, missing
from middlewares.edge.form import ModelFinder, malformed, model_part
from middlewares.edge.openai import chat_request
from middlewares.exchange import Declared, Exchange, Refusal


class _BodyAhead:
    """A body of which a part is read before it is forwarded, and then given to the stages that follow."""

    __slots__ = ("_arrived", "_declared", "_exchange", "_first", "_receive", "_settings", "_workload")

    def __init__(
        self,
        exchange: Exchange,
        workload: Workload,
        receive: Receive,
        arrived: Callable[[], bool],
        settings: Edge,
    ) -> None:
        """`arrived`: is the whole body here? Then reading it needs no timer."""
        self._exchange = exchange
        self._workload = workload
        self._receive = receive
        self._arrived = arrived
        self._settings = settings
        self._first: Message | None = None
        """What was read, and is still to be given."""
        self._declared: Declared | None = None

    async def receive(self) -> Message:
        """The ASGI `receive` of the stages that follow."""
        first, self._first = self._first, None
        return await self._receive() if first is None else first

    async def _next(self) -> Message:
        """The next part of the body.

        Raises `Refusal`: 400 for a client that left, 408 for one that sends nothing for as long as a head may take.
        """
        if self._arrived():
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout(self._settings.header_seconds):
                    message = await self._receive()
            except TimeoutError:
                raise Refusal(408, "request_timeout", "The body did not arrive in time.", close=True) from None
        if message["type"] != "http.request":
            raise Refusal(400, "client_disconnected", "The client left before its body was complete.", close=True)
        return message


class JsonBody(_BodyAhead):
    """The body of a metered route: read ahead when a stage asks what it declares, then replayed.

    Byte for byte, but for members that the gateway needs and the client left out: they are added at the end.
    """

    __slots__ = ("_openai",)

    def __init__(
        self,
        exchange: Exchange,
        workload: Workload,
        receive: Receive,
        arrived: Callable[[], bool],
        settings: Edge,
        *,
        openai: bool = False,
    ) -> None:
        """As of `_BodyAhead`. `openai`: it is written anew."""
        super().__init__(exchange, workload, receive, arrived, settings)
        self._openai = openai

    async def declare(self) -> Declared:
        """What the body declares. The principal has to be known.

        Raises `Refusal`: 400 for a body that is no JSON object, a wrong parameter or a client that left; 408 when
        the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            principal = self._exchange.principal
            assert principal is not None  # noqa: S101 - strangers' bodies are not read
            body = await self._read()
            document = parse_object(body)
            if self._openai:
                document = chat_request(document)
                body = json.dumps(document).encode()
            added = missing(self._workload, document, self._settings, principal.plan)
            self._declared = declare(
                self._workload, {**document, **added} if added else document, body, self._settings, principal.plan
            )
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
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)


class FormBody(_BodyAhead):
    """The body of a form: read as far as the field that names its model, then replayed and passed on.

    Byte for byte, but for the configured model of a form that names none: it is put in front.
    """

    __slots__ = ("_boundary",)

    def __init__(
        self,
        exchange: Exchange,
        workload: Workload,
        receive: Receive,
        arrived: Callable[[], bool],
        settings: Edge,
        *,
        boundary: bytes,
    ) -> None:
        """As of `_BodyAhead`. `boundary`: of the multipart body."""
        super().__init__(exchange, workload, receive, arrived, settings)
        self._boundary = boundary

    async def declare(self) -> Declared:
        """The model of the form.

        Raises `Refusal`: 400 for what is no form, for one that names no model where none is configured, or too late,
        and for a client that left; 408 when the client stops sending; 413 over the limit.
        """
        if self._declared is None:
            finder = ModelFinder(self._boundary)
            model, more = None, True
            while model is None:
                if not more:
                    raise malformed("it ends before its last boundary")
                if len(finder.body) > (most := self._settings.max_form_bytes):
                    raise malformed(f"its first {most} bytes name no model; send `model_id` before the files")
                message = await self._next()
                more = message.get("more_body", False)
                model = finder.feed(message.get("body", b""))
            added = b""
            if not model:
                model = default_model(self._workload, self._settings)
                added = model_part(self._boundary, model)
            if self._exchange.content_length is not None:
                self._exchange.content_length += len(added)
            self._first = {"type": "http.request", "body": added + finder.body, "more_body": more}
            self._declared = Declared(model=model)
        return self._declared


def with_members(body: bytes, members: Mapping[str, object], *, first: bool) -> bytes:
    """`body`, a JSON object, with more members at its end; `first`: it has none yet. Go reads the last of a name."""
    added = msgspec.json.encode(members)[1:]
    return body.rstrip(b" \t\r\n")[:-1] + (added if first else b"," + added)
