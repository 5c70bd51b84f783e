"""Routes of pages and forms whose visitor is identified first, and whose forms no other page can have sent.

The page of an error finds the visitor in the state of the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from middlewares.exchange import Exchange, Outcome, Refusal
from proxy.portal.access.cookies import SessionCookie, is_form_token
from proxy.portal.access.forms import TOKEN_FIELD, Fields, Mistake, check_same_origin, form_refused, read_fields
from proxy.portal.access.sent_forms import FormRepeated


class Correctable(Protocol):
    """A visit, a dataclass, of a page that may show its form again."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def mistake(self) -> Mistake | None:
        """In the form that the page shows again."""
        ...


Visitor = TypeVar("Visitor")
Sender = TypeVar("Sender", bound=Correctable)
Identify = Callable[[Request], Awaitable[Visitor]]
"""Returns who visits. Raises `Refusal`."""


class SignInNeeded(Refusal):
    """Nobody is signed in, or the session has ended."""

    def __init__(self) -> None:
        super().__init__(401, "session_ended", "Nobody is signed in, or the session has ended.")


def page_route(path: str, identify: Identify[Visitor], show: Callable[[Visitor], Awaitable[Response]]) -> Route:
    """Return the route of a page."""

    async def endpoint(request: Request) -> Response:
        visitor = request.state.visit = await identify(request)
        return await show(visitor)

    return Route(path, endpoint, methods=["GET"])


def form_route(
    path: str,
    origin: str,
    cookie: SessionCookie,
    identify: Identify[Sender],
    take: Callable[[Sender, Fields], Awaitable[Response]],
    *,
    again: Callable[[Sender], Awaitable[Response]] | None = None,
) -> Route:
    """Return the route of a form of a page of `origin`, in the very session that the cookie names.

    `again`, the page of the form, shows what was typed where that is refused (400, 409): browsers have forgotten it.
    """

    async def endpoint(request: Request) -> Response:
        check_same_origin(request, origin)
        visitor = request.state.visit = await identify(request)
        fields = await read_fields(request)
        if not is_form_token(fields.get(TOKEN_FIELD, ""), cookie.read(request)):
            raise form_refused("The form is not of this session; go back, load the page again, and repeat it.")
        try:
            return await take(visitor, fields)
        except Refusal as refusal:
            if again is None or refusal.status not in (400, 409) or isinstance(refusal, FormRepeated):
                raise
            response = await again(replace(visitor, mistake=Mistake(refusal.detail, fields)))
            exchange: Exchange = request.scope["tollgate.exchange"]
            exchange.end(Outcome.REFUSED, refusal.code, refusal.status)
            response.status_code = refusal.status
            return response

    return Route(path, endpoint, methods=["POST"])
