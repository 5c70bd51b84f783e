"""The public application on a socket: the real door, edge and response stage, and a pipeline that only answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from config.settings import Settings
from middlewares.response.metrics import RequestMetrics
from proxy.api.application import control_application
from proxy.app import nothing_served, public_application
from proxy.server.protocol import protocol_class
from tests.support.deployment import eventually
from tests.support.edge import edge_before
from tests.support.raw_http import RawConnection, Response, request


@dataclass
class Served:
    """A running public application, and what it wrote down."""

    address: tuple[str, int]
    capture: pytest.CaptureFixture[str]
    metrics: RequestMetrics
    registry: CollectorRegistry
    forwarded: list[bytes] = field(default_factory=list)
    """Targets that passed the pipeline's edge."""
    _lines: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, *pieces: bytes, method: str = "GET") -> Response:
        """Send the pieces of one request on a new connection; return the response."""
        async with await RawConnection.open(self.address) as connection:
            return await connection.exchange(*pieces, method=method)

    async def request(
        self, target: str, *fields: tuple[str, str], method: str = "GET", body: bytes | None = None
    ) -> Response:
        return await self.send(request(method, target, fields, body), method=method)

    async def lines(self, count: int = 1) -> list[dict[str, Any]]:
        """The log lines of requests, once there are `count`: a request is logged after its client was answered."""

        def written() -> bool:
            for line in self.capture.readouterr().err.splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    self._lines.append(json.loads(line))
            return len(self._requests()) >= count

        await eventually(written)
        return self._requests()

    def _requests(self) -> list[dict[str, Any]]:
        return [line for line in self._lines if line.get("event") == "request"]

    def sample(self, name: str, **labels: str) -> float:
        self.metrics.flush()
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def serving(
    capture: pytest.CaptureFixture[str], settings: Settings | None = None, routes: Sequence[BaseRoute] = ()
) -> AsyncIterator[Served]:
    """Serve the public application with these routes below `/api/v1`."""
    settings = settings or Settings()
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    served = Served(("", 0), capture, metrics, registry)

    async def pipeline(scope: Scope, receive: Receive, send: Send) -> None:
        served.forwarded.append(scope["tollgate.target"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": b"pipeline"})

    control = nothing_served()._replace(api=control_application(routes))
    app = public_application(edge_before(pipeline, settings.edge), settings, metrics, control)
    protocol, state = protocol_class(settings.edge), ServerState()
    config = Config(app, http=protocol, interface="asgi3", proxy_headers=False, log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0) as server:
        served.address = server.sockets[0].getsockname()
        yield served
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)
