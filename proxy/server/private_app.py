"""The private listener: metrics, health, webhooks and the admin API, for the operator's machines only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from middlewares.exchange import Exchange
from proxy.api.request_body import BoundedBody
from proxy.server.control_plane.private_admin import PrivateAdmin

Exposition = Callable[[], tuple[str, bytes]]
"""Returns content type and text of all metrics."""

Readiness = Callable[[], Awaitable[str]]
"""Returns why Tollgate is not ready; empty when it is."""


ADMIN_PATH = "/api/v1/admin"

MAX_BODY_BYTES = 1024 * 1024
"""Largest request body; the largest one is a heartbeat's list of streams."""
BODY_SECONDS = 10.0
"""Seconds for a whole request body, from its first read on."""


def admin_app(exposition: Exposition, readiness: Readiness, webhooks: Sequence[Route] = ()) -> ASGIApp:
    """Return the application of the private listener.

    It serves `/metrics`, `/livez` (200: the process runs), `/readyz` (200: send it requests) and `webhooks`.
    """

    def metrics(_: Request) -> Response:
        content_type, body = exposition()
        return Response(body, media_type=None, headers={"content-type": content_type})

    def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        reason = await readiness()
        if reason:
            return JSONResponse({"status": "unready", "reason": reason}, 503)
        return JSONResponse({"status": "ready"})

    routes = [Route("/metrics", metrics), Route("/livez", live), Route("/readyz", ready), *webhooks]
    return BodyBounds(Starlette(routes=routes))


class PrivateListener:
    """The admin API below its path, and `app` for everything else."""

    def __init__(self, app: ASGIApp, admin: PrivateAdmin) -> None:
        self.app = app
        self.admin = admin
        """Replaced when the configuration is; requests that run go on with the one that they began with."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] == ADMIN_PATH or scope["path"].startswith(f"{ADMIN_PATH}/")):
            await self.admin(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def close(self) -> None:
        """Disconnect what has connected to the history."""
        await self.admin.close()


class BodyBounds:
    """Bound the bodies of requests in size and time: a read past them raises `Refusal`, which the webhooks answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange("", time.monotonic(), scope["method"], scope["path"])
        body = BoundedBody(exchange, receive, max_bytes=MAX_BODY_BYTES, seconds=BODY_SECONDS)
        await self.app(scope, body.receive, send)
