"""The admin API of the private listener, which its first request loads.

FastAPI and SQLAlchemy take a second of processor time, which no start has to wait for. They are loaded beside the event
loop, so that webhooks, probes and metrics go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings
from middlewares.response.metrics import RequestMetrics
from proxy.store.store import Store


class PrivateAdmin:
    """The admin API under one configuration."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: RequestMetrics,
        *,
        reload: Callable[[], Awaitable[None]],
        running_workers: Callable[[], int],
    ) -> None:
        """`reload` takes the configuration anew; `running_workers` returns how many workers serve requests."""
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._reload = reload
        self._running_workers = running_workers
        self._loading = asyncio.Lock()
        self._app: ASGIApp | None = None
        self._disconnect: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._loading:
            app = self._app or await self._load()
        await app(scope, receive, send)

    async def _load(self) -> ASGIApp:
        make = await asyncio.to_thread(_private_admin)
        self._app, self._disconnect = make(
            self._settings,
            self._store,
            self._metrics,
            reload=self._reload,
            running_workers=self._running_workers,
        )
        return self._app

    async def close(self) -> None:
        """Disconnect from the history, if a request has connected to it."""
        if self._disconnect is not None:
            await self._disconnect()


def _private_admin() -> Callable[..., tuple[ASGIApp, Callable[[], Awaitable[None]]]]:
    from proxy.server.control_plane.admin import private_admin  # noqa: PLC0415 - what takes the time

    return private_admin
