"""The application behind a control surface: routes, and problem documents for everything else.

Starlette and FastAPI answer errors in words of their own. With `EXCEPTION_HANDLERS` they leave each of them to the
response stage, the one place that writes problem documents and counts how requests ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisClusterException, RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from middlewares.exchange import Headers, Refusal
from middlewares.store import StoreError
from proxy.control.records import UnknownRecord


class NoResponse(Response):
    """Sends nothing, because the response stage will."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


def allowed_methods(request: Request) -> str:
    """Return the methods of the path, for `Allow` (RFC 9110 section 10.2.1); the framework names those of one route."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    if "GET" in found and getattr(request.app, "takes_head_as_get", False):
        found.add("HEAD")
    return ", ".join(sorted(found))


async def raise_refusal(request: Request, error: Exception) -> Response:
    """Turn a framework's own error (404, 405, a body it cannot parse) into a `Refusal`, and raise it."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if isinstance(error.__cause__, Refusal):  # raised while the framework was reading the body
        raise error.__cause__
    headers: Headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (error.headers or {}).items()
    ]
    if error.status_code == 404:
        raise Refusal(404, "not_found", "There is no such route.", headers=headers)
    if error.status_code == 405:
        allowed = allowed_methods(request)
        raise Refusal(405, "method_not_allowed", f"This route takes {allowed}.", headers=[(b"allow", allowed.encode())])
    code = "malformed_request" if error.status_code < 500 else "internal_error"
    raise Refusal(error.status_code, code, error.detail, headers=headers)


async def leave_to_response_stage(_: Request, _error: Exception) -> Response:
    """Send nothing: Starlette raises the error again after this handler, and the response stage answers it."""
    return NoResponse()


async def raise_store_unavailable(_: Request, _error: Exception) -> Response:
    """Say that Redis is away, in one way whichever of its clients noticed."""
    detail = "Records cannot be read or written at the moment; try again shortly."
    raise Refusal(503, "store_unavailable", detail, headers=[(b"retry-after", b"1")]) from None


async def raise_unknown(_: Request, error: Exception) -> Response:
    """Say that a record does not exist, whether it never did or is another app's."""
    assert isinstance(error, UnknownRecord)  # noqa: S101 - registered for nothing else
    raise Refusal(404, "unknown_id", f"There is no such {error.ref.kind}.")


EXCEPTION_HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: raise_refusal,
    StoreError: raise_store_unavailable,
    RedisError: raise_store_unavailable,
    RedisClusterException: raise_store_unavailable,
    UnknownRecord: raise_unknown,
    Exception: leave_to_response_stage,
}
"""For each application behind the door, mounted ones included: nothing of an exception reaches a client."""


def control_application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return an application that serves `routes` and refuses every other path with 404."""
    application = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    application.router.redirect_slashes = False  # it redirects to the Host that a client claims
    return application
