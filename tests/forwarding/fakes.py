"""A client's connection whose state a test sets, and gateways of raw bytes behind a forwarder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import Message

from config.routing import Gateway, Health, Routing
from config.routing import Pool as PoolSettings
from config.workloads import Workload
from middlewares.exchange import Declaration, Exchange
from middlewares.routes import BY_NAME
from middlewares.tier_routing.drops import DropReasons
from middlewares.tier_routing.fleet import Fleet
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.gateway_metrics import GatewayMetrics
from proxy.forwarding.health_prober import HealthProber
from proxy.upstream import ConnectionPool
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

    def whole_body(self) -> bytes | None:
        return None

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

    def __init__(
        self, gateways: Sequence[fakes.Gateway], *, health: Mapping[str, float] | None = None, **routing: Any
    ) -> None:
        self.gateways = gateways
        self.urls = tuple(f"http://127.0.0.1:{gateway.port}" for gateway in gateways)
        self.pools = {
            url: ConnectionPool("127.0.0.1", gateway.port) for url, gateway in zip(self.urls, gateways, strict=True)
        }
        gateway_settings = tuple(Gateway(url=url) for url in self.urls)
        pool = PoolSettings(
            gateways=gateway_settings, health=Health.model_validate({"failures": 1} | dict(health or {}))
        )
        self.fleet = Fleet({"pool": pool})
        self.routing = Routing.model_validate({"pools": {"pool": pool}, **routing})
        hosts = dict.fromkeys(self.urls, b"gateway.test")
        probes = {
            url: ConnectionPool("127.0.0.1", gateway.port, max_idle=0)
            for url, gateway in zip(self.urls, gateways, strict=True)
        }
        self.metrics = GatewayMetrics(CollectorRegistry())
        self.prober = HealthProber(self.fleet, probes, hosts, self.metrics)
        drops = DropReasons({Workload.LLM: frozenset({"named"})})
        self.forwarder = Forwarder(self.pools, hosts, self.fleet, self.routing, prober=self.prober, drops=drops)

    async def forward(
        self,
        route: str = "playback",
        *,
        messages: Sequence[Message] = (),
        connection: FakeConnection | None = None,
        model: str | None = None,
        length: int | None = None,
        undecodable: bool = False,
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
        exchange.content_length = length
        exchange.declared = Declaration(model=model)
        exchange.undecodable_image = lambda: undecodable
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
async def forwarding(
    *handlers: Handler, health: Mapping[str, float] | None = None, **routing: Any
) -> AsyncIterator[Forwarding]:
    """Run a gateway for each handler, and a forwarder in front of them, until the block ends.

    `health` are settings of the pool; one failure ejects unless it says otherwise.
    """
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(fakes.Gateway(handler)) for handler in handlers]
        opened = Forwarding(gateways, health=health, **routing)
        try:
            yield opened
        finally:
            await opened.prober.close()
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


def dropping_all_but_probes(*, first: int = 0) -> Handler:
    """Return a handler that drops every request but probes, after `first` that it responds to."""
    served = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        while True:
            head = await fakes.read_head(reader)
            if not head.startswith(b"GET /healthz "):
                served += 1
                if served > first:
                    return
            await fakes.read_body(reader, head)
            writer.write(response(b""))

    return handler
