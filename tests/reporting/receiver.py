"""A receiver of exported events over HTTP, whose responses the test sets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Batch = list[dict[str, Any]]


async def accept(_: Batch) -> web.Response:
    """Accept every batch."""
    return web.Response(status=204)


@dataclass
class Receiver:
    """Keeps the batches that it accepts: those for which `judge` returns a 2xx."""

    judge: Callable[[Batch], Awaitable[web.Response]] = accept
    port: int = 0
    requests: list[Batch] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ingest"

    @property
    def ids(self) -> list[str]:
        """Ids of the accepted events, whatever their format calls them."""
        return [each.get("id") or each.get("transaction_id") or each["identifier"] for each in self.accepted]

    async def start(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/ingest", self._take)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Refuse connections from now on; `start` takes the same port again."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        batch: Batch = body if isinstance(body, list) else body["events"]
        self.requests.append(batch)
        self.headers.append(dict(request.headers))
        self.arrived.set()
        response = await self.judge(batch)
        if 200 <= response.status < 300:
            self.accepted += batch
        return response
