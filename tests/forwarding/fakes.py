"""A client's connection whose state a test sets, and gateways of raw bytes behind a forwarder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message

from config.routing import Gateway, Health, Routing
from config.routing import Pool as PoolSettings
from middlewares.exchange import Exchange
from middlewares.routes import BY_NAME
from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.forwarder import Forwarder
from proxy.upstream import Pool
from tests.upstream import fakes

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeConnection:
    """`middlewares.connection.ClientConnection`, whose client has sent everything unless a test says otherwise."""

    received: bool = True
    aborted: bool = False
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def body_received(self) -> bool:
        return self.received

    def unread_body(self) -> bytes:
        return b""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def abort(self) -> None:
        self.aborted = True

    def disconnect(self) -> None:
        """Let the client go away."""
        for callback in self.callbacks:
            callback()


@dataclass
class Forwarded:
    """One request through a forwarder: its exchange, its client's connection, and what the client was sent."""

    exchange: Exchange
    connection: FakeConnection
    sent: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def complete(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", True)


class Forwarding:
    """A forwarder in front of gateways, each of which runs a handler for every connection."""

    def __init__(self, gateways: Sequence[fakes.Gateway], *, failures: int = 1, **routing: Any) -> None:
        self.gateways = gateways
        self.urls = tuple(f"http://127.0.0.1:{gateway.port}" for gateway in gateways)
        self.pools = {url: Pool("127.0.0.1", gateway.port) for url, gateway in zip(self.urls, gateways, strict=True)}
        gateway_settings = tuple(Gateway(url=url) for url in self.urls)
        pool = PoolSettings(gateways=gateway_settings, health=Health(failures=failures))
        self.fleet = Fleet({"pool": pool})
        self.routing = Routing.model_validate({"pools": {"pool": pool}, **routing})
        hosts = dict.fromkeys(self.urls, b"gateway.test")
        self.forwarder = Forwarder(self.pools, hosts, self.fleet, self.routing)

    async def forward(
        self,
        route: str = "playback",
        *,
        messages: Sequence[Message] = (),
        connection: FakeConnection | None = None,
        on_send: Callable[[Forwarded], Awaitable[None] | None] = lambda forwarded: None,
        results: list[Forwarded] | None = None,
    ) -> Forwarded:
        """Forward one request; its body comes in `messages`. Raises what the forwarder raises.

        `on_send` is called, and awaited, with each message that the client is sent. `results` gets the result even if
        this raises.
        """
        exchange = Exchange("id", 0.0, "POST" if messages else "GET", "/", route=BY_NAME[route], target=b"/target")
        exchange.gateways = self.urls
        exchange.has_body = bool(messages)
        forwarded = Forwarded(exchange, connection or FakeConnection())
        if results is not None:
            results.append(forwarded)
        left = list(messages)

        async def receive() -> Message:
            if not left:
                await asyncio.Event().wait()
            return left.pop(0)

        async def send(message: Message) -> None:
            forwarded.sent.append(message)
            waiting = on_send(forwarded)
            if waiting is not None:
                await waiting

        scope = {"type": "http", "tollgate.exchange": exchange, "tollgate.connection": forwarded.connection}
        await self.forwarder(scope, receive, send)
        return forwarded


@asynccontextmanager
async def forwarding(*handlers: Handler, failures: int = 1, **routing: Any) -> AsyncIterator[Forwarding]:
    """Run a gateway for each handler, and a forwarder in front of them, until the block ends."""
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(fakes.Gateway(handler)) for handler in handlers]
        opened = Forwarding(gateways, failures=failures, **routing)
        try:
            yield opened
        finally:
            for pool in opened.pools.values():
                pool.close()


def response(body: bytes, status: bytes = b"200 OK", headers: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return a whole response with this body."""
    lines = {b"content-length": b"%d" % len(body)} | dict(headers or {})
    head = b"".join(b"%b: %b\r\n" % pair for pair in lines.items())
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, head, body)


def responding(raw: bytes) -> Handler:
    """Return a handler that responds to every request with `raw`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await fakes.read_body(reader, await fakes.read_head(reader))
            writer.write(raw)

    return handler


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a request and close the connection, as a gateway does that panics (gateway contract section 1.0)."""
    await fakes.read_head(reader)
