"""The private listener: metrics, health and webhooks, for the operator's machines only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Exposition = Callable[[], tuple[str, bytes]]
"""Returns content type and text of all metrics."""

Readiness = Callable[[], Awaitable[str]]
"""Returns why Tollgate is not ready; empty when it is."""


def admin_app(exposition: Exposition, readiness: Readiness, webhooks: Sequence[Route] = ()) -> Starlette:
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

    return Starlette(routes=[Route("/metrics", metrics), Route("/livez", live), Route("/readyz", ready), *webhooks])
