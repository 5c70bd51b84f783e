"""The response stage on a real uvicorn with httptools, in front of whatever a test responses with."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send
from ulid import ULID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config.access import Cors
from config.runtime import Log
from middlewares.exchange import Exchange, Headers
from middlewares.response.log import RequestLog
from middlewares.response.metrics import RequestMetrics
from middlewares.response.middleware import ResponseMiddleware

Inner = Callable[[Exchange, Receive, Send], Awaitable[None]]


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets the application end the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["tollgate.connection"] = self  # type: ignore[typeddict-unknown-key]

    def abort(self) -> None:
        self.transport.abort()


@dataclass
class StageServer:
    """A running stage: where it listens, and what it wrote down."""

    port: int
    log_file: Path
    registry: CollectorRegistry
    metrics: RequestMetrics
    exchanges: list[Exchange] = field(default_factory=list)

    async def request(self, method: str = "GET", path: str = "/", **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            return await client.request(method, path, **options)

    async def raw(self, request: bytes) -> bytes:
        """Everything the server sends until it ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(60):
                return await reader.read()
        finally:
            writer.close()

    async def lines(self, count: int = 1) -> list[dict[str, Any]]:
        """The log's lines, once there are `count` of them: a request is logged after its client has the response."""
        async with asyncio.timeout(60):
            while True:
                lines = self.log_file.read_text().splitlines()
                if len(lines) >= count:
                    return [json.loads(line) for line in lines]
                await asyncio.sleep(0.005)

    def sample(self, name: str, **labels: str) -> float:
        """The present value of a metric; 0 where it has none."""
        self.metrics.flush()
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(
    inner: Inner, tmp_path: Path, *, cors: Cors | None = None, log: Log | None = None
) -> AsyncIterator[StageServer]:
    """Serve `inner` behind the stage on a free port of 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))
    log_file = tmp_path / "requests.log"
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    registry = CollectorRegistry()
    stage_server = StageServer(listener.getsockname()[1], log_file, registry, RequestMetrics(registry))
    stage = ResponseMiddleware(
        _calling(inner),
        cors=cors or Cors(),
        log=RequestLog(log or Log(), fd=descriptor),
        metrics=stage_server.metrics,
    )
    config = uvicorn.Config(
        _pipeline(stage, stage_server), http=Protocol, ws="none", lifespan="off", log_config=None, server_header=False
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield stage_server
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await task
        os.close(descriptor)


def responding(status: int = 200, headers: Headers | None = None, body: bytes = b"", *, complete: bool = True) -> Inner:
    """An application that responses every request the same way."""

    async def inner(exchange: Exchange, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        await send({"type": "http.response.body", "body": body, "more_body": not complete})

    return inner


def _calling(inner: Inner) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope["tollgate.exchange"], receive, send)

    return app


def _pipeline(stage: ASGIApp, stage_server: StageServer) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        now = asyncio.get_running_loop().time()
        exchange = Exchange(str(ULID()), now, scope["method"], scope["path"])
        stage_server.exchanges.append(exchange)
        scope["tollgate.exchange"] = exchange
        await stage(scope, receive, send)

    return app
