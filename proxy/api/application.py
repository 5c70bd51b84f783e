"""The application behind a control surface: routes, and problem documents for everything else.

Starlette and FastAPI answer errors in words of their own. With `EXCEPTION_HANDLERS` they leave each of them to the
response stage, the one place that writes problem documents and counts how requests ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from middlewares.exchange import Headers, Refusal

ROUTES: Sequence[BaseRoute] = ()
"""Routes below `/api/v1`, with their whole path; an application of its own is a `Mount` among them."""


class NoResponse(Response):
    """Sends nothing, because the response stage will."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


async def raise_refusal(_: Request, error: Exception) -> Response:
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
        allowed = dict(headers).get(b"allow", b"").decode("latin-1")
        raise Refusal(405, "method_not_allowed", f"This route takes {allowed}.", headers=headers)
    code = "malformed_request" if error.status_code < 500 else "internal_error"
    raise Refusal(error.status_code, code, error.detail, headers=headers)


async def leave_to_response_stage(_: Request, _error: Exception) -> Response:
    """Send nothing: Starlette raises the error again after this handler, and the response stage answers it."""
    return NoResponse()


EXCEPTION_HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: raise_refusal,
    Exception: leave_to_response_stage,
}
"""For each application behind the door, mounted ones included: nothing of an exception reaches a client."""


def control_application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return an application that serves `routes` and refuses every other path with 404."""
    application = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    application.router.redirect_slashes = False  # it redirects to the Host that a client claims
    return application
