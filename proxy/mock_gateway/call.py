"""One exchange: a request, its response, and the behaviour that the request chooses."""

import asyncio
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from typing import NoReturn

from starlette.types import Receive, Scope, Send

from proxy.mock_gateway.behaviour import Behaviour, in_model
from proxy.mock_gateway.gateway import Gateway, encode
from proxy.mock_gateway.record import Record
from proxy.mock_gateway.request import Request

TEXT = "text/plain; charset=utf-8"
"""Media type that Go's content sniffing gives to any text, JSON included."""

MASKED = {500: "Internal Server Error", 503: "Service Unavailable Error"}
"""Error texts that the batch routes hide (CONTRACT.md section 1.0)."""

TRIES = 20
"""Calls of a failing runner for one request (CONTRACT.md section 1.0)."""

Headers = list[tuple[str, str]]

SSE_HEADERS: Headers = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache"),
    ("connection", "keep-alive"),
]


class ResponseSent(Exception):
    """The response has been sent, the route's own or another: unwinds whatever was to come."""


class Call(Request):
    """A request and its response. `json_errors`: errors have the shape of the batch AI routes."""

    def __init__(self, gateway: Gateway, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(record, scope, receive)
        self.gateway = gateway
        self.behaviour = Behaviour()
        self.json_errors = False
        self._send = send
        self._acted = False
        self._instructions = ",".join(self.header_values("x-mock-gateway"))

    async def obey(self, model: str = "") -> None:
        """Read the instructions of the header and, once it is known, of the model's name."""
        try:
            self.behaviour = Behaviour.parse(f"{self._instructions},{in_model(model)}")
        except ValueError as error:
            self._acted = True
            await self.error(400, str(error))
        if self.behaviour.early:
            await self._act()

    async def _act(self) -> None:
        """Do what comes before the response; raise `ResponseSent` if it has become the response."""
        if self._acted:
            return
        self._acted = True
        behaviour = self.behaviour
        if behaviour.delay:
            await asyncio.sleep(behaviour.delay)
        if behaviour.hold_at is None:
            await self.gateway.log.hold(behaviour)
        if behaviour.crash:
            await self.crash()
        if behaviour.drop or behaviour.reset:
            await self.drop(by_reset=behaviour.reset)
        if behaviour.raw is not None:
            await self._write_raw(behaviour.raw)
        if behaviour.empty:
            await self.respond(200)
        if behaviour.status is not None and not behaviour.echo and behaviour.size is None:
            await self.error(behaviour.status, f"requested code {behaviour.status}")

    async def drop(self, *, by_reset: bool = False) -> NoReturn:
        """End the connection after what has been sent: what a panic in a Go handler does."""
        self.record.outcome = "dropped"
        self._wire.close(by_reset=by_reset)
        await self._wire.gone()

    async def fail_runner(self) -> NoReturn:
        """Drop the connection as when the runner failed at every try (CONTRACT.md section 1.0)."""
        self.record.runner_calls = TRIES
        await self._act()
        await self.drop()

    async def crash(self) -> NoReturn:
        """End the whole gateway, if crashes are real; this connection in any case."""
        self.record.outcome = "dropped"
        self.gateway.log.crashed()
        self.gateway.crash()
        await self.drop()

    async def _write_raw(self, data: bytes) -> NoReturn:
        for piece in _split(data, self.behaviour.chunks):
            await self._pause()
            self._wire.write(piece)
            self._count(piece)
        await self.drop()

    async def _pause(self) -> None:
        """Hold or delay between two chunks, if instructed to."""
        behaviour = self.behaviour
        if behaviour.hold_at == self.record.chunks_sent:
            await self.gateway.log.hold(behaviour)
        if behaviour.chunk_delay and self.record.chunks_sent:
            await asyncio.sleep(behaviour.chunk_delay)

    def _count(self, data: bytes) -> None:
        self.record.chunks_sent += 1
        self.record.bytes_sent += len(data)

    async def start(self, status: int, headers: Headers, *, drain: bool = True) -> None:
        """Send the head, after the rest of the body has been read and all that comes before the response."""
        if drain and not self.behaviour.early:
            async for _ in self.body():
                pass
        await self._act()
        behaviour = self.behaviour
        self.record.status = status
        unframed = behaviour.chunked or behaviour.length is not None
        sent = [(name, value) for name, value in headers if not (unframed and name == "content-length")]
        if behaviour.length is not None:
            sent.append(("content-length", str(behaviour.length)))
        if behaviour.close:
            sent.append(("connection", "close"))
        sent.append(("date", formatdate(usegmt=True)))
        for line in self.header_values("x-mock-gateway-header"):
            name, _, value = line.partition(":")
            sent.append((name, value.strip(" \t")))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body at once."""
        await self._pause()
        limit = self.behaviour.drop_after_bytes
        if limit is not None and self.record.bytes_sent + len(data) > limit:
            data = data[: limit - self.record.bytes_sent]
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self._count(data)
            await self.drop()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._count(data)
        await asyncio.sleep(0)  # a connection that was reset takes all writes at once; the loop has to learn of it

    async def finish(self) -> NoReturn:
        """End the response."""
        behaviour = self.behaviour
        if behaviour.hold_at == self.record.chunks_sent:
            await self.gateway.log.hold(behaviour)
        if behaviour.drop_after_bytes is not None:
            await self.drop()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.record.outcome = "complete"
        if behaviour.hangup:
            self._wire.close()
        raise ResponseSent

    async def stream(self, status: int, headers: Headers, chunks: Iterable[bytes]) -> NoReturn:
        """Send a response of unknown length."""
        await self.start(status, headers)
        for data in chunks:
            await self.chunk(data)
        await self.finish()

    async def respond(
        self, status: int, body: bytes = b"", content_type: str = "", headers: Headers | None = None
    ) -> NoReturn:
        """Send a whole response."""
        sent = [("content-type", content_type)] if content_type else []
        if status not in {204, 304}:
            sent.append(("content-length", str(len(body))))
        await self.start(status, sent + (headers or []))
        for piece in _split(body, self.behaviour.chunks):
            await self.chunk(piece)
        await self.finish()

    async def json(self, status: int, value: object) -> NoReturn:
        """Respond with JSON."""
        await self.respond(status, encode(value), "application/json")

    async def text(self, status: int, message: str) -> NoReturn:
        """Respond with one line of text, as Go's `http.Error` does."""
        await self.respond(status, f"{message}\n".encode(), TEXT, [("x-content-type-options", "nosniff")])

    async def error(self, status: int, message: str) -> NoReturn:
        """Respond with an error in the shape of the route (CONTRACT.md section 1.0)."""
        if self.json_errors:
            await self.json(status, {"error": {"message": MASKED.get(status, message)}})
        await self.text(status, message)


def _split(data: bytes, pieces: int) -> Iterator[bytes]:
    step = max(1, -(-len(data) // pieces))
    return (data[start : start + step] for start in range(0, len(data), step))
